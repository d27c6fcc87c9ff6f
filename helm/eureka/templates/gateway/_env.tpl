{{/* Settings of the gateway. Context: root, component. */}}
{{- define "eureka.gatewayEnv" -}}
{{- $root := .root -}}
{{- $gateway := $root.Values.gateway -}}
{{- $given := dict "EUREKA_GATEWAY__HOST" "0.0.0.0" "EUREKA_GATEWAY__PORT" (include "eureka.port" "gateway") -}}
{{- $_ := set $given "EUREKA_GATEWAY__METRICS_HOST" "0.0.0.0" -}}
{{- $_ := set $given "EUREKA_GATEWAY__METRICS_PORT" (include "eureka.port" "metrics") -}}
{{- $_ := set $given "EUREKA_GATEWAY__UPLOAD_FOLDER" "/var/lib/eureka/uploads" -}}
{{- $_ := set $given "EUREKA_GATEWAY__DRAIN_SECONDS" (toString $gateway.drain.drainSeconds) -}}
{{- $_ := set $given "EUREKA_GATEWAY__GRACE_SECONDS" (toString $gateway.drain.graceSeconds) -}}
{{- if $gateway.keys.existingSecret -}}
{{- $_ := set $given "EUREKA_GATEWAY__KEYS_FILE" "/etc/eureka/keys/keys.jsonl" -}}
{{- else if $gateway.open -}}
{{- $_ := set $given "EUREKA_GATEWAY__OPEN" "true" -}}
{{- else -}}
{{- fail "gateway.keys.existingSecret: the Secret with the file of hashed keys; or gateway.open to let everybody in" -}}
{{- end -}}
{{- if $root.Values.burst.enabled -}}
{{- $_ := set $given "EUREKA_BURST__ENABLED" "true" -}}
{{- $_ := set $given "EUREKA_BURST__TEMPLATE" "/etc/eureka/burst/pod.yaml" -}}
{{- $_ := set $given "EUREKA_BURST__NAMESPACE" $root.Release.Namespace -}}
{{- $_ := set $given "EUREKA_BURST__OWNER" (printf "ConfigMap/%s-burst-template" (include "eureka.fullname" $root)) -}}
{{- $_ := set $given "EUREKA_BURST__WORKERS" (toString $root.Values.burst.workers) -}}
{{- end -}}
{{- if $root.Values.canary.enabled -}}
{{- range $stage := include "eureka.stages" $root | fromJsonArray -}}
{{- $name := include "eureka.stageName" (dict "root" $root "component" $stage "track" "canary") -}}
{{- $target := printf "dns:///%s:%s" (include "eureka.host" (list $root $name)) (include "eureka.port" $stage) -}}
{{- $_ := set $given (printf "EUREKA_GATEWAY__CANARY_%s_TARGET" (upper $stage)) $target -}}
{{- end -}}
{{- $_ := set $given "EUREKA_GATEWAY__CANARY_PERCENT" (toString $root.Values.canary.percent) -}}
{{- end -}}
{{- $common := include "eureka.commonSettings" . | fromJson -}}
{{- $targets := include "eureka.targetSettings" . | fromJson -}}
{{- $storage := include "eureka.storageSettings" . | fromJson -}}
{{- $tracing := include "eureka.tracingSettings" . | fromJson -}}
{{- include "eureka.plainEnv" (dict "given" (mergeOverwrite $given $common $targets $storage $tracing) "own" $gateway.env) -}}
{{- end -}}
