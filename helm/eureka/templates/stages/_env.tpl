{{/* Settings of a stage's two containers. Context: root, component, track, pool, checkpoint. */}}

{{- define "eureka.tritonModels" -}}
{{- if eq .component "decoder" -}}llm_decoder
{{- else if eq .component "adapter" -}}moe_adapter
{{- else if eq .root.Values.embeddingPath "fused" -}}audio_encoder,moe_adapter,audio_frontend
{{- else -}}audio_encoder
{{- end -}}
{{- end -}}

{{/* Only its own pod reaches Triton, which has no keys; its metrics are for all that the policies let in. */}}
{{- define "eureka.tritonEnv" -}}
{{- $given := dict "EUREKA_TRITON__HOST" "127.0.0.1" "EUREKA_TRITON__METRICS_HOST" "0.0.0.0" "EUREKA_TRITON__MODELS" (include "eureka.tritonModels" .) -}}
{{- $_ := set $given "EUREKA_TRITON__GRPC_PORT" (include "eureka.port" "triton-grpc") -}}
{{- $_ := set $given "EUREKA_TRITON__METRICS_PORT" (include "eureka.port" "triton-metrics") -}}
{{- $_ := set $given "EUREKA_TRITON__DEVICE" (ternary "cuda" "cpu" (gt (int .pool.gpu.count) 0)) -}}
{{- $_ := set $given "EUREKA_TRITON__GRACE_SECONDS" "30" -}}
{{- $_ := set $given "EUREKA_CHECKPOINT" (include "eureka.checkpointFolder" .) -}}
{{- $_ := set $given "EUREKA_CACHE_FOLDER" "/tmp/eureka-cache" -}}
{{- $_ := set $given "EUREKA_LOG_LEVEL" .root.Values.logLevel -}}
{{- $_ := set $given "EUREKA_LOG_FORMAT" "json" -}}
{{- $_ := set $given "EUREKA_NUM_THREADS" (toString .root.Values.numThreads) -}}
{{- $tracing := include "eureka.tracingSettings" . | fromJson -}}
{{- include "eureka.plainEnv" (dict "given" (mergeOverwrite $given $tracing) "own" .pool.triton.env) -}}
{{- end -}}

{{- define "eureka.stageEnv" -}}
{{- $prefix := printf "EUREKA_%s__" (upper .component) -}}
{{- $given := dict (printf "%sHOST" $prefix) "0.0.0.0" (printf "%sPORT" $prefix) (include "eureka.port" .component) -}}
{{- $_ := set $given (printf "%sMETRICS_PORT" $prefix) (include "eureka.port" "metrics") -}}
{{- $_ := set $given (printf "%sTRITON_TARGET" $prefix) (printf "127.0.0.1:%s" (include "eureka.port" "triton-grpc")) -}}
{{- $_ := set $given (printf "%sTRANSPORT" $prefix) (ternary "inline" "shared_memory" (eq .component "decoder")) -}}
{{- $_ := set $given (printf "%sDRAIN_SECONDS" $prefix) (toString .pool.drain.drainSeconds) -}}
{{- $_ := set $given (printf "%sGRACE_SECONDS" $prefix) (toString .pool.drain.graceSeconds) -}}
{{- $_ := set $given "EUREKA_CHECKPOINT" (include "eureka.checkpointFolder" .) -}}
{{- $_ := set $given "EUREKA_CACHE_FOLDER" "/tmp/eureka-cache" -}}
{{- $common := include "eureka.commonSettings" . | fromJson -}}
{{- $tracing := include "eureka.tracingSettings" . | fromJson -}}
{{- include "eureka.plainEnv" (dict "given" (mergeOverwrite $given $common $tracing) "own" .pool.env) -}}
{{- end -}}
