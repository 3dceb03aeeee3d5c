/* The first process of a pod's sandbox: it holds the pod's namespaces, reaps orphans of a pod whose containers share
 * its process namespace, and exits at once on SIGINT and SIGTERM. It must not do anything else. */
#include <signal.h>
#include <stddef.h>
#include <sys/wait.h>

int main(void) {
    sigset_t awaited;
    int signal;
    sigemptyset(&awaited);
    sigaddset(&awaited, SIGCHLD);
    sigaddset(&awaited, SIGINT);
    sigaddset(&awaited, SIGTERM);
    /* Blocked, so that none is lost between two waits. */
    if (sigprocmask(SIG_BLOCK, &awaited, NULL) != 0)
        return 1;
    while (sigwait(&awaited, &signal) == 0 && signal == SIGCHLD)
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
    return 0;
}
