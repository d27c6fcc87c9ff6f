{{/* A pod of a worker. Context: root, component, lane, pool, labels, env (YAML), grace, command. */}}
{{- define "eureka.workerPod" -}}
serviceAccountName: {{ include "eureka.fullname" .root }}-{{ .account }}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: {{ add .grace 20 }}
securityContext: {{- include "eureka.podSecurity" . | nindent 2 }}
{{- with .restartPolicy }}
restartPolicy: {{ . }}
{{- end }}
{{ include "eureka.placement" (dict "root" .root "pool" .pool "labels" .labels) | trim }}
initContainers:
  {{- include "eureka.waitForStore" (dict "root" .root "image" .root.Values.images.worker) | nindent 2 }}
containers:
  - name: worker
    image: {{ include "eureka.image" (dict "root" .root "image" .root.Values.images.worker) }}
    imagePullPolicy: {{ .root.Values.images.pullPolicy }}
    command: {{ .command | toJson }}
    env: {{- include "eureka.workerEnv" (dict "root" .root "given" .settings "own" .pool.env) | trim | nindent 6 }}
    ports:
      - {name: metrics, containerPort: {{ include "eureka.port" "metrics" }}}
    {{- with .probes }}
    {{- . | nindent 4 }}
    {{- end }}
    resources: {{- toYaml .pool.resources | nindent 6 }}
    securityContext: {{- include "eureka.containerSecurity" . | nindent 6 }}
    volumeMounts:
      - {name: tmp, mountPath: /tmp}
      {{- include "eureka.tlsMount" . | trim | nindent 6 }}
volumes:
  - name: tmp
    emptyDir: {}
  {{- include "eureka.tlsVolume" (dict "root" .root "component" "worker") | trim | nindent 2 }}
{{- end -}}

{{/* A worker is ready when it answers a ping through the queue; it is alive while it shows its metrics. */}}
{{- define "eureka.workerProbes" -}}
startupProbe:
  httpGet: {path: /metrics, port: metrics}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /metrics, port: metrics}
  periodSeconds: 15
  timeoutSeconds: 10
  failureThreshold: 4
readinessProbe:
  exec: {command: [python, -m, eureka.runtime.healthcheck, worker]}
  periodSeconds: 30
  timeoutSeconds: 15
  failureThreshold: 3
{{- end -}}

{{/* The pod of a burst job, as the gateway reads it: a template that is complete but for the batch's queue. */}}
{{- define "eureka.burstPod" -}}
{{- $pool := .Values.burst -}}
{{- $context := dict "root" . "component" "worker" "lane" "burst" -}}
{{- $labels := include "eureka.selectorLabels" $context -}}
{{- $settings := dict "EUREKA_WORKER__CONCURRENCY" (toString $pool.concurrency) "EUREKA_WORKER__NAME" "burst" "EUREKA_WORKER__GRACE_SECONDS" "60" -}}
metadata: {{- include "eureka.podMeta" (dict "root" . "labels" $labels "container" "worker") | nindent 2 }}
spec: {{- include "eureka.workerPod" (mergeOverwrite $context (dict "account" "worker" "pool" $pool "labels" $labels "settings" $settings "grace" 60 "restartPolicy" "OnFailure" "command" (list "python" "-m" "workers.burst"))) | nindent 2 }}
{{- end -}}
