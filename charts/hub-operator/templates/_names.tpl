{{- define "hub-operator.name" -}}
{{ if contains "hub-operator" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-hub-operator" .Release.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "hub-operator.selector" -}}
app.kubernetes.io/name: hub-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "hub-operator.labels" -}}
{{ include "hub-operator.selector" . }}
app.kubernetes.io/component: operator
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- /* image: the reference given, or registry/name:tag. Call with (dict "top" $ "given" "" "name" "hub"). */ -}}
{{- define "hub-operator.image" -}}
{{- $image := .top.Values.image -}}
{{- if .given }}{{ .given }}{{ else }}{{ with $image.registry }}{{ . | trimSuffix "/" }}/{{ end }}{{ .name }}:{{ $image.tag | default .top.Chart.AppVersion }}{{ end }}
{{- end }}
