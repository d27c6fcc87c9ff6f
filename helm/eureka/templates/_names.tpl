{{/* Names, labels, ports. */}}

{{- define "eureka.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "eureka.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Labels that find pods; never change them. Context: root, component, track (empty but for stages). */}}
{{- define "eureka.selectorLabels" -}}
app.kubernetes.io/name: {{ include "eureka.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- with .track }}
eureka.audio/track: {{ . }}
{{- end }}
{{- with .lane }}
eureka.audio/lane: {{ . }}
{{- end }}
{{- end -}}

{{/* Those of one release, whatever the component. Context: the root. */}}
{{- define "eureka.releaseLabels" -}}
app.kubernetes.io/name: {{ include "eureka.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "eureka.labels" -}}
{{ include "eureka.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* A component's labels without track and lane. Context: list of root and component. */}}
{{- define "eureka.plainLabels" -}}
{{ include "eureka.labels" (dict "root" (index . 0) "component" (index . 1)) }}
{{- end -}}

{{/* RELEASE-COMPONENT[-canary]. Context: root, component, track. */}}
{{- define "eureka.stageName" -}}
{{ include "eureka.fullname" .root }}-{{ .component }}{{ if eq .track "canary" }}-canary{{ end }}
{{- end -}}

{{/* Ports, as the settings have them. */}}
{{- define "eureka.port" -}}
{{- get (dict "gateway" "50050" "encoder" "50051" "adapter" "50052" "decoder" "50053" "metrics" "9100" "triton-grpc" "8001" "triton-metrics" "8002" "queue" "6379" "storage" "9000") . -}}
{{- end -}}

{{/* Address in the cluster. Context: list of root and service name. */}}
{{- define "eureka.host" -}}
{{- $root := index . 0 -}}
{{ index . 1 }}.{{ $root.Release.Namespace }}.svc.{{ $root.Values.clusterDomain }}
{{- end -}}

{{/* registry/repository:tag or @digest. Context: root, image. */}}
{{- define "eureka.image" -}}
{{- $repository := .image.repository -}}
{{- if .root.Values.images.registry -}}{{- $repository = printf "%s/%s" .root.Values.images.registry $repository -}}{{- end -}}
{{- if .image.digest -}}
{{ $repository }}@{{ .image.digest }}
{{- else -}}
{{ $repository }}:{{ default .root.Chart.AppVersion .image.tag }}
{{- end -}}
{{- end -}}

{{/* The stages that run, as a JSON list. */}}
{{- define "eureka.stages" -}}
{{- if eq .Values.embeddingPath "fused" -}}["encoder","decoder"]{{- else -}}["encoder","adapter","decoder"]{{- end -}}
{{- end -}}

{{- define "eureka.tracks" -}}
{{- if .Values.canary.enabled -}}["stable","canary"]{{- else -}}["stable"]{{- end -}}
{{- end -}}

{{/* Secret of queue and store: the given one, or that of the bundled. */}}
{{- define "eureka.queueSecret" -}}
{{- if .Values.queue.bundled.enabled -}}{{ include "eureka.fullname" . }}-queue{{- else -}}
{{ required "queue.existingSecret: the Secret with the URL of the queue, or queue.bundled.enabled" .Values.queue.existingSecret }}
{{- end -}}
{{- end -}}

{{- define "eureka.storageSecret" -}}
{{- if .Values.storage.bundled.enabled -}}{{ include "eureka.fullname" . }}-storage{{- else -}}
{{ required "storage.existingSecret: the Secret with access-key and secret-key, or storage.bundled.enabled" .Values.storage.existingSecret }}
{{- end -}}
{{- end -}}

{{- define "eureka.storageEndpoint" -}}
{{- if .Values.storage.bundled.enabled -}}
http://{{ include "eureka.host" (list . (printf "%s-storage" (include "eureka.fullname" .))) }}:{{ include "eureka.port" "storage" }}
{{- else -}}
{{ required "storage.endpoint: where the object store is, or storage.bundled.enabled" .Values.storage.endpoint }}
{{- end -}}
{{- end -}}

{{/* Secret with the certificate of a component. Context: root, component. */}}
{{- define "eureka.tlsSecret" -}}
{{- if eq .root.Values.tls.source "secret" -}}
{{ required "tls.existingSecret: the Secret with tls.crt, tls.key and ca.crt" .root.Values.tls.existingSecret }}
{{- else -}}
{{ include "eureka.fullname" .root }}-{{ .component }}-tls
{{- end -}}
{{- end -}}
