{{/* What pods and containers have in common. */}}

{{/* Context: root. */}}
{{- define "eureka.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "eureka.containerSecurity" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* Where a pod may run. Context: root, pool, labels (a string of YAML). */}}
{{- define "eureka.placement" -}}
{{- with .pool.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .pool.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .pool.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .pool.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- if and (hasKey .pool "topologySpread") .pool.topologySpread.enabled }}
topologySpreadConstraints:
  - maxSkew: {{ .pool.topologySpread.maxSkew }}
    topologyKey: {{ .pool.topologySpread.topologyKey }}
    whenUnsatisfiable: {{ .pool.topologySpread.whenUnsatisfiable }}
    labelSelector:
      matchLabels: {{- .labels | nindent 8 }}
{{- end }}
{{- with .root.Values.images.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "eureka.podMeta" -}}
labels: {{- .labels | nindent 2 }}
  {{- with .root.Values.podLabels }}{{- toYaml . | nindent 2 }}{{- end }}
annotations:
  kubectl.kubernetes.io/default-container: {{ .container }}
  {{- with .checksum }}
  checksum/config: {{ . }}
  {{- end }}
  {{- with .root.Values.podAnnotations }}{{- toYaml . | nindent 2 }}{{- end }}
{{- end -}}

{{/* Readiness and liveness of a server. Context: root, component. Kubelets ask gRPC in plain text only. */}}
{{- define "eureka.serverProbes" -}}
{{- $exec := list "python" "-m" "eureka.runtime.healthcheck" .component -}}
{{- $port := include "eureka.port" .component -}}
startupProbe:
  {{- if .root.Values.tls.enabled }}
  exec: {command: {{ append $exec "--live" | toJson }}}
  {{- else }}
  grpc: {port: {{ $port }}, service: liveness}
  {{- end }}
  periodSeconds: 5
  timeoutSeconds: 8
  failureThreshold: 60
livenessProbe:
  {{- if .root.Values.tls.enabled }}
  exec: {command: {{ append $exec "--live" | toJson }}}
  {{- else }}
  grpc: {port: {{ $port }}, service: liveness}
  {{- end }}
  periodSeconds: 15
  timeoutSeconds: 8
  failureThreshold: 4
readinessProbe:
  {{- if .root.Values.tls.enabled }}
  exec: {command: {{ $exec | toJson }}}
  {{- else }}
  grpc: {port: {{ $port }}}
  {{- end }}
  periodSeconds: 10
  timeoutSeconds: 8
  failureThreshold: 2
{{- end -}}

{{/* A pool's settings of its own, over those given. Context: given (dict), own (dict); as env entries. */}}
{{- define "eureka.plainEnv" -}}
{{- range $name, $value := mergeOverwrite (dict) .given (default (dict) .own) }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end -}}

{{/* Settings of every process of ours, as a JSON dict. Context: root, component. */}}
{{- define "eureka.commonSettings" -}}
{{- $values := .root.Values -}}
{{- $found := dict "EUREKA_LOG_LEVEL" $values.logLevel "EUREKA_LOG_FORMAT" "json" "EUREKA_NUM_THREADS" (toString $values.numThreads) -}}
{{- if $values.tls.enabled -}}
{{- $_ := set $found "EUREKA_TLS__CERTIFICATE" "/etc/eureka/tls/tls.crt" -}}
{{- $_ := set $found "EUREKA_TLS__KEY" "/etc/eureka/tls/tls.key" -}}
{{- $_ := set $found "EUREKA_TLS__ROOT_CA" "/etc/eureka/tls/ca.crt" -}}
{{- if and $values.tls.mutual (has .component (list "encoder" "adapter" "decoder")) -}}
{{- $_ := set $found "EUREKA_TLS__CLIENT_CA" "/etc/eureka/tls/ca.crt" -}}
{{- end -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{/* Where the stages are, as a JSON dict. Context: root. */}}
{{- define "eureka.targetSettings" -}}
{{- $root := .root -}}
{{- $found := dict "EUREKA_GATEWAY__EMBEDDING_PATH" $root.Values.embeddingPath -}}
{{- range $stage := include "eureka.stages" $root | fromJsonArray -}}
{{- $name := include "eureka.stageName" (dict "root" $root "component" $stage "track" "stable") -}}
{{- $target := printf "dns:///%s:%s" (include "eureka.host" (list $root $name)) (include "eureka.port" $stage) -}}
{{- $_ := set $found (printf "EUREKA_GATEWAY__%s_TARGET" (upper $stage)) $target -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{/* Where objects lie, as a JSON dict; the credentials are in eureka.secretEnv. Context: root. */}}
{{- define "eureka.storageSettings" -}}
{{- $storage := .root.Values.storage -}}
{{- $found := dict "EUREKA_STORAGE__KIND" "s3" "EUREKA_STORAGE__ENDPOINT" (include "eureka.storageEndpoint" .root) "EUREKA_STORAGE__BUCKET" $storage.bucket "EUREKA_STORAGE__REGION" $storage.region "EUREKA_STORAGE__PATH_STYLE" (toString $storage.pathStyle) "EUREKA_QUEUE__KEY_PREFIX" .root.Values.queue.keyPrefix -}}
{{- with $storage.publicEndpoint -}}{{- $_ := set $found "EUREKA_STORAGE__PUBLIC_ENDPOINT" . -}}{{- end -}}
{{- with $storage.expireDays -}}{{- $_ := set $found "EUREKA_STORAGE__EXPIRE_DAYS" . -}}{{- end -}}
{{- if or $storage.createBucket $storage.bundled.enabled -}}{{- $_ := set $found "EUREKA_STORAGE__CREATE_BUCKET" "true" -}}{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{/* Queue and store from their Secrets. Context: root. */}}
{{- define "eureka.secretEnv" -}}
- name: EUREKA_QUEUE__URL
  valueFrom:
    secretKeyRef: {name: {{ include "eureka.queueSecret" .root }}, key: {{ .root.Values.queue.secretKey }}}
{{ include "eureka.storageSecretEnv" . }}
{{- end -}}

{{- define "eureka.storageSecretEnv" -}}
- name: EUREKA_STORAGE__ACCESS_KEY
  valueFrom:
    secretKeyRef: {name: {{ include "eureka.storageSecret" .root }}, key: access-key}
- name: EUREKA_STORAGE__SECRET_KEY
  valueFrom:
    secretKeyRef: {name: {{ include "eureka.storageSecret" .root }}, key: secret-key}
{{- end -}}

{{/* Waits for the store, and makes bucket and rules where asked to. Context: root, image. */}}
{{- define "eureka.waitForStore" -}}
- name: wait-for-store
  image: {{ include "eureka.image" (dict "root" .root "image" .image) }}
  imagePullPolicy: {{ .root.Values.images.pullPolicy }}
  command: [python, -m, eureka.runtime.storage_init, --wait, "300"]
  env:
    {{- include "eureka.plainEnv" (dict "given" (include "eureka.storageSettings" . | fromJson)) | nindent 4 }}
    {{- include "eureka.storageSecretEnv" . | nindent 4 }}
  resources:
    requests: {cpu: 50m, memory: 128Mi}
    limits: {cpu: 500m, memory: 256Mi}
  securityContext: {{- include "eureka.containerSecurity" . | nindent 4 }}
  volumeMounts:
    - {name: tmp, mountPath: /tmp}
{{- end -}}

{{/* Mount and volume of the certificate. Context: root, component. */}}
{{- define "eureka.tlsMount" -}}
{{- if .root.Values.tls.enabled }}
- {name: tls, mountPath: /etc/eureka/tls, readOnly: true}
{{- end }}
{{- end -}}

{{- define "eureka.tlsVolume" -}}
{{- if .root.Values.tls.enabled }}
- name: tls
  secret:
    secretName: {{ include "eureka.tlsSecret" . }}
    defaultMode: 0440
{{- end }}
{{- end -}}

{{/* The settings of a worker or the sweeper, then the secrets. Context: root, given (dict), own (dict). */}}
{{- define "eureka.workerEnv" -}}
{{- $given := dict "EUREKA_WORKER__METRICS_HOST" "0.0.0.0" "EUREKA_WORKER__METRICS_PORT" (include "eureka.port" "metrics") -}}
{{- $common := include "eureka.commonSettings" (dict "root" .root "component" "worker") | fromJson -}}
{{- $targets := include "eureka.targetSettings" . | fromJson -}}
{{- $storage := include "eureka.storageSettings" . | fromJson -}}
{{- $tracing := include "eureka.tracingSettings" . | fromJson -}}
{{- include "eureka.plainEnv" (dict "given" (mergeOverwrite $given $common $targets $storage $tracing .given) "own" .own) }}
{{ include "eureka.secretEnv" . }}
{{- with .root.Values.webhooks.existingSecret }}
- name: EUREKA_WORKER__WEBHOOK_SECRET
  valueFrom:
    secretKeyRef: {name: {{ . }}, key: {{ $.root.Values.webhooks.secretKey }}}
{{- end }}
{{- end -}}

{{- define "eureka.tracingSettings" -}}
{{- $found := dict -}}
{{- with .root.Values.tracing.endpoint -}}{{- $_ := set $found "EUREKA_TRACING__ENDPOINT" . -}}{{- end -}}
{{- toJson $found -}}
{{- end -}}
