{{/* What pools scale by. */}}

{{/* All pools that scale, as a JSON list of name, component, target, scaling, min, and by what. */}}
{{- define "eureka.scaledPools" -}}
{{- $root := . -}}
{{- $full := include "eureka.fullname" . -}}
{{- $found := list (dict "name" "gateway" "component" "gateway" "scaling" .Values.gateway.autoscaling) -}}
{{- range $stage := include "eureka.stages" . | fromJsonArray -}}
{{- $found = append $found (dict "name" $stage "component" $stage "scaling" (get $root.Values $stage).autoscaling) -}}
{{- end -}}
{{- range $lane, $pool := .Values.workers -}}
{{- if $pool.enabled -}}
{{- $found = append $found (dict "name" (printf "worker-%s" $lane) "component" "worker" "lane" $lane "scaling" $pool.autoscaling) -}}
{{- end -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{/* Queries of Prometheus over this release. Context: root, kind, component or lane. */}}
{{- define "eureka.query" -}}
{{- $space := printf "namespace=%q" .root.Release.Namespace -}}
{{- $full := include "eureka.fullname" .root -}}
{{- if eq .kind "waiting" -}}
{{- $service := printf "%s-%s%s" $full .component (ternary "-headless" "" (eq .component "gateway")) -}}
sum(eureka_requests_waiting{ {{- $space }},service={{ $service | quote -}} }) or vector(0)
{{- else if eq .kind "running" -}}
{{- $service := printf "%s-%s%s" $full .component (ternary "-headless" "" (eq .component "gateway")) -}}
sum(eureka_requests_running{ {{- $space }},service={{ $service | quote -}} }) or vector(0)
{{- else if eq .kind "queued" -}}
sum(eureka_queued_audio_seconds{ {{- $space }}{{ with .lane }},lane={{ . | quote }}{{ end -}} }) or vector(0)
{{- else if eq .kind "unplanned" -}}
sum(eureka_jobs_unfinished{ {{- $space }},state="PENDING"{{ with .lane }},lane={{ . | quote }}{{ end -}} }) or vector(0)
{{- end -}}
{{- end -}}

{{/* One trigger of KEDA. Context: root, name, query, threshold. */}}
{{- define "eureka.trigger" -}}
{{- $prometheus := .root.Values.autoscaling.prometheus -}}
- type: prometheus
  name: {{ .name }}
  metricType: AverageValue
  metadata:
    serverAddress: {{ required "autoscaling.prometheus.serverAddress: what KEDA asks" $prometheus.serverAddress }}
    query: {{ .query | quote }}
    threshold: {{ .threshold | quote }}
    activationThreshold: "0"
    {{- with $prometheus.authModes }}
    authModes: {{ . }}
    {{- end }}
  {{- with $prometheus.authenticationRef }}
  authenticationRef: {name: {{ . }}}
  {{- end }}
{{- end -}}
