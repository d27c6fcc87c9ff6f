{{/* Pods of this release by component. Context: list of root and component. */}}
{{- define "eureka.peer" -}}
- podSelector:
    matchLabels: {{- include "eureka.selectorLabels" (dict "root" (index . 0) "component" (index . 1)) | nindent 6 }}
{{- end -}}

{{/* A way out to names. */}}
{{- define "eureka.toNames" -}}
- ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
{{- end -}}

{{/* Context: root, components (list), port. */}}
{{- define "eureka.to" -}}
- to:
    {{- range .components }}
    {{- include "eureka.peer" (list $.root .) | nindent 4 }}
    {{- end }}
  ports:
    {{- range .ports }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
{{- end -}}

{{/* Something outside the release. Context: section with `to`, ports. */}}
{{- define "eureka.outside" -}}
- ports:
    {{- range .ports }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
  {{- with .to }}
  to: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* To queue and store. Context: the root. */}}
{{- define "eureka.toQueueAndStore" -}}
{{- if .Values.queue.bundled.enabled }}
{{ include "eureka.to" (dict "root" . "components" (list "queue") "ports" (list (include "eureka.port" "queue"))) }}
{{- else }}
{{ include "eureka.outside" (dict "to" .Values.networkPolicy.queue.to "ports" (list .Values.networkPolicy.queue.port)) }}
{{- end }}
{{ include "eureka.toStore" . }}
{{- end -}}

{{- define "eureka.toStore" -}}
{{- if .Values.storage.bundled.enabled }}
{{- include "eureka.to" (dict "root" . "components" (list "storage") "ports" (list (include "eureka.port" "storage"))) }}
{{- else }}
{{- include "eureka.outside" (dict "to" .Values.networkPolicy.storage.to "ports" (list .Values.networkPolicy.storage.port)) }}
{{- end }}
{{- end -}}

{{- define "eureka.toStages" -}}
{{- $root := . -}}
{{- range $stage := include "eureka.stages" . | fromJsonArray }}
{{ include "eureka.to" (dict "root" $root "components" (list $stage) "ports" (list (include "eureka.port" $stage))) }}
{{- end }}
{{- end -}}

{{- define "eureka.toTracing" -}}
{{- if .Values.tracing.endpoint }}
{{ include "eureka.outside" (dict "to" .Values.networkPolicy.tracing.to "ports" (list .Values.networkPolicy.tracing.port)) }}
{{- end }}
{{- end -}}

{{/* Not empty where pods of stages fetch a checkpoint from a bucket. */}}
{{- define "eureka.fetches" -}}
{{- if or (eq .Values.checkpoint.source "s3") (and .Values.canary.enabled (eq .Values.canary.checkpoint.source "s3")) -}}true{{- end -}}
{{- end -}}

{{/* Whoever reads metrics. Context: root, ports. */}}
{{- define "eureka.fromMonitoring" -}}
- from: {{- toYaml .root.Values.networkPolicy.monitoringFrom | nindent 4 }}
  ports:
    {{- range .ports }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
{{- end -}}
