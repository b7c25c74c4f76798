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

{{/* What the agent's URLs begin with. */}}
{{- define "bobbinet.scheme" -}}
{{ ternary "https" "http" (ne .Values.tls.existingSecret "") }}
{{- end }}

{{/* Where callers within the cluster find the agent. */}}
{{- define "bobbinet.clusterUrl" -}}
{{ include "bobbinet.scheme" . }}://{{ include "bobbinet.name" . }}.{{ .Release.Namespace }}.svc:{{ .Values.service.port }}
{{- end }}

{{/* Where another node is: a URL as it is, a Service with its port, 7420 if none is said, of this namespace if no other is
said, as `name.namespace`. A longer name is a host's. Services speak what this release speaks: https if it has TLS. */}}
{{- define "bobbinet.place" -}}
{{- if contains "://" .place -}}
{{- trimSuffix "/" .place -}}
{{- else -}}
{{- $host := first (splitList ":" .place) -}}
{{- $port := ternary (last (splitList ":" .place)) "7420" (contains ":" .place) -}}
{{- $labels := splitList "." $host -}}
{{- if eq (len $labels) 1 }}{{ $host = printf "%s.%s.svc" $host .namespace }}{{ end -}}
{{- if eq (len $labels) 2 }}{{ $host = printf "%s.svc" $host }}{{ end -}}
{{ .scheme }}://{{ $host }}:{{ $port }}
{{- end -}}
{{- end }}

{{/* Where a card of the pod's is, from within the cluster: its agent's, or its first flow's. */}}
{{- define "bobbinet.cardUrl" -}}
{{ include "bobbinet.clusterUrl" . }}{{ with .Values.flows }}/agents/{{ first (keys . | sortAlpha) }}{{ end }}
{{- end }}

{{/* Who may call beside the owner: the nodes that are named, with all that they want. */}}
{{- define "bobbinet.callers" -}}
{{- $urls := list -}}
{{- range .Values.callers }}{{ $urls = append $urls (include "bobbinet.place" (dict "place" . "namespace" $.Release.Namespace "scheme" (include "bobbinet.scheme" $))) }}{{ end -}}
trust:
{{- range $urls }}
  - issuer: {{ . | quote }}
    {{- /* Within the cluster, or behind a mesh that has TLS: as with the agent's own port. */}}
    jwks: { url: {{ printf "%s/.well-known/jwks.json" . | quote }}{{ if hasPrefix "http://" . }}, tls: off{{ end }} }
{{- end }}
policy:
{{- range $urls }}
  - allow: {{ printf "caller.issuer == '%s'" . | quote }}
{{- end }}
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
