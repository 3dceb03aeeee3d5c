{{/*
Names, labels, images, and the operator's rights, each in one place.

The names do not depend on the release: two operators that watch the same namespace would be of no use, and
the fixed name of their roles keeps a second one of the same scope from being installed. In one namespace there is one operator,
and the Lease by which its replicas agree has a fixed name too.
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

{{/* {added, own}: the labels of a user and ours, which win: selectors rest on them. */}}
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

{{/* The Job that brings the resource definition up to date must not be taken for an operator. */}}
{{- define "smart-mqtt-tls.crdName" -}}
{{ include "smart-mqtt-tls.name" . }}-crd
{{- end }}

{{/* Labels and annotations of that Job and of what it needs; the weight, an annotation too, follows. */}}
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

{{/* What every container of ours is: within restricted pod security, with nothing to write to. */}}
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

{{/* Where the operator and the Job go: to DNS and the API server. */}}
{{- define "smart-mqtt-tls.egress" -}}
- ports:
  - port: 53
    protocol: UDP
  - port: 53
    protocol: TCP
{{- if not .Values.networkPolicy.apiServerPorts }}
{{- fail "networkPolicy.apiServerPorts names no port: a rule without ports would let out to all of them" }}
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
{listener, path, schema, value}: refuses a key that the resource definition does not have. The API server drops such a
key from what Helm makes, and at most warns: of a misspelt `clientAuth`, a listener that is open to all would be left.
Types and rules are left to the API server.
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
{{- fail (printf "listeners.%s.%s: there is no such key; there are %s" $.listener $path (join ", " (keys $known | sortAlpha))) }}
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

{{/* What the operator may do where it watches: in a ClusterRole, or in the Role of one namespace. */}}
{{- define "smart-mqtt-tls.rules" -}}
- apiGroups: [mqtt.smartboot.tech]
  resources: [mqtttlslisteners]
  verbs: [get, list, watch]
- apiGroups: [mqtt.smartboot.tech]
  resources: [mqtttlslisteners/status]
  verbs: [patch]
# Certificates are read from Secrets by name; the watch carries metadata only. The configuration, which
# holds private keys, is written into a Secret.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create, patch]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, patch]
# Pods are listed, and told of a new configuration by an annotation; they are made by Deployments.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, patch]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}
