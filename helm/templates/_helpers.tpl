{{/* The names of the objects. 52: a StatefulSet's pods get labels with "-0" and a hash, 63 at most in all. */}}
{{- define "bobbinet.name" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $full := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) -}}
{{- default $full .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- end }}

{{/* What the objects are found by. It never changes: a StatefulSet's selector cannot. */}}
{{- define "bobbinet.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "bobbinet.labels" -}}
{{ include "bobbinet.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "bobbinet.image" -}}
{{- with .Values.image -}}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag }}{{ end -}}
{{- end -}}
{{- end }}

{{/* Where callers within the cluster find the agent. */}}
{{- define "bobbinet.clusterUrl" -}}
http://{{ include "bobbinet.name" . }}.{{ .Release.Namespace }}.svc:{{ .Values.service.port }}
{{- end }}

{{/* What the agent's card says it is found at, and what tokens are made for. */}}
{{- define "bobbinet.url" -}}
{{- default (include "bobbinet.clusterUrl" .) .Values.agent.publicUrl | trimSuffix "/" -}}
{{- end }}

{{/* Pod Security "restricted", and a root folder that cannot be written to. */}}
{{- define "bobbinet.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "bobbinet.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ .Values.runAsUser }}
runAsGroup: {{ .Values.runAsUser }}
seccompProfile:
  type: RuntimeDefault
{{- end }}
