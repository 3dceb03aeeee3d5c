{{/*
Names, labels, images, and the operator's permissions, each defined once.

The names do not depend on the release: two operators for the same namespace are never useful, and the fixed names of
their roles prevent the installation of a second one with the same scope. A namespace contains at most one operator, so
the Lease for leader election has a fixed name, too.
*/}}

{{- define "smart-mqtt-tls.name" -}}
mqtt-tls-operator
{{- end }}

{{- define "smart-mqtt-tls.selectorLabels" -}}
app.kubernetes.io/name: {{ include "smart-mqtt-tls.name" . }}
{{- end }}

{{- define "smart-mqtt-tls.commonLabels" -}}
app.kubernetes.io/part-of: smart-mqtt
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "smart-mqtt-tls.labels" -}}
{{ include "smart-mqtt-tls.selectorLabels" . }}
{{ include "smart-mqtt-tls.commonLabels" . }}
{{- end }}

{{/* {added, own}: the user's labels and ours. Ours take precedence, because selectors use them. */}}
{{- define "smart-mqtt-tls.withLabels" -}}
{{- toYaml (mergeOverwrite (deepCopy (.added | default dict)) (fromYaml .own)) }}
{{- end }}

{{- define "smart-mqtt-tls.podLabels" -}}
{{ include "smart-mqtt-tls.selectorLabels" . }}
app.kubernetes.io/part-of: smart-mqtt
{{- end }}

{{- define "smart-mqtt-tls.crdPodLabels" -}}
app.kubernetes.io/name: {{ include "smart-mqtt-tls.crdName" . }}
app.kubernetes.io/part-of: smart-mqtt
{{- end }}

{{- define "smart-mqtt-tls.terminatorLabels" -}}
app.kubernetes.io/name: mqtt-tls-terminator
{{ include "smart-mqtt-tls.commonLabels" . }}
{{- end }}

{{/* The Job that applies the CRD must not match the operator's selectors. */}}
{{- define "smart-mqtt-tls.crdName" -}}
{{ include "smart-mqtt-tls.name" . }}-crd
{{- end }}

{{/* Labels and annotations of that Job and of its dependencies. The caller appends the weight, which is an annotation. */}}
{{- define "smart-mqtt-tls.crdMetadata" -}}
labels:
  app.kubernetes.io/name: {{ include "smart-mqtt-tls.crdName" . }}
  {{- include "smart-mqtt-tls.commonLabels" . | nindent 2 }}
annotations:
  helm.sh/hook: pre-install,pre-upgrade
  helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}

{{/* {image, context} */}}
{{- define "smart-mqtt-tls.image" -}}
{{ .image.repository }}:{{ .image.tag | default .context.Chart.AppVersion }}
{{- with .image.digest }}@{{ . }}{{ end }}
{{- end }}

{{/* The security context of every container: restricted pod security, and a read-only root file system. */}}
{{- define "smart-mqtt-tls.containerSecurity" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
privileged: false
readOnlyRootFilesystem: true
{{- end }}

{{- define "smart-mqtt-tls.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* Egress of the operator and the Job: DNS and the API server. */}}
{{- define "smart-mqtt-tls.egress" -}}
- ports:
  - port: 53
    protocol: UDP
  - port: 53
    protocol: TCP
{{- if not .Values.networkPolicy.apiServerPorts }}
{{- fail "networkPolicy.apiServerPorts must not be empty: a rule without ports would allow all ports" }}
{{- end }}
- ports:
  {{- range .Values.networkPolicy.apiServerPorts }}
  - port: {{ . }}
    protocol: TCP
  {{- end }}
  {{- with .Values.networkPolicy.apiServerTo }}
  to:
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/*
{listener, path, schema, value}: refuses a key that the CRD does not have. The API server would drop such a key with at
most a warning, so a misspelt `clientAuth` would leave a listener open to all devices. The API server validates types and
rules.
*/}}
{{- define "smart-mqtt-tls.checkKeys" -}}
{{- $schema := ternary .schema dict (kindIs "map" .schema) }}
{{- $known := get $schema "properties" | default dict }}
{{- $more := get $schema "additionalProperties" }}
{{- if get $schema "x-kubernetes-preserve-unknown-fields" }}
{{- else if kindIs "map" .value }}
{{- range $key, $value := .value }}
{{- $path := printf "%s.%s" $.path $key }}
{{- if and $known (not $more) (not (hasKey $known $key)) }}
{{- fail (printf "listeners.%s.%s: unknown key; use one of %s" $.listener $path (join ", " (keys $known | sortAlpha))) }}
{{- end }}
{{- $below := get $known $key | default $more }}
{{- include "smart-mqtt-tls.checkKeys" (dict "listener" $.listener "path" $path "schema" $below "value" $value) }}
{{- end }}
{{- else if kindIs "slice" .value }}
{{- range $index, $value := .value }}
{{- $path := printf "%s[%d]" $.path $index }}
{{- $below := get $schema "items" }}
{{- include "smart-mqtt-tls.checkKeys" (dict "listener" $.listener "path" $path "schema" $below "value" $value) }}
{{- end }}
{{- end }}
{{- end }}

{{/* The operator's permissions where it watches: in a ClusterRole, or in the Role of one namespace. */}}
{{- define "smart-mqtt-tls.rules" -}}
- apiGroups: [mqtt.smartboot.tech]
  resources: [mqtttlslisteners]
  verbs: [get, list, watch]
- apiGroups: [mqtt.smartboot.tech]
  resources: [mqtttlslisteners/status]
  verbs: [patch]
# Certificates are read from Secrets by name; the watch transfers metadata only. The configuration, which contains
# private keys, is written to a Secret.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create, patch]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, patch]
# Pods are listed, and annotated when the configuration changes; Deployments create them.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, patch]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch]
# ReplicaSets are listed while a rollout is in progress, to report what holds it up.
- apiGroups: [apps]
  resources: [replicasets]
  verbs: [list]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
# Certificates that cert-manager issues for listeners with `issuerRef`.
- apiGroups: [cert-manager.io]
  resources: [certificates]
  verbs: [get, list, watch, create, patch, delete]
# What permits the use of Secrets and ConfigMaps of other namespaces.
- apiGroups: [gateway.networking.k8s.io]
  resources: [referencegrants]
  verbs: [list, watch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}
