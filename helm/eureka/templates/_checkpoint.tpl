{{/* How a checkpoint comes into a pod. Context everywhere: root, checkpoint, image (of ours, for s3 and oci). */}}

{{/* The folder that EUREKA_CHECKPOINT names. */}}
{{- define "eureka.checkpointFolder" -}}
{{- if eq .checkpoint.source "image" -}}
{{ .checkpoint.path }}
{{- else if eq .checkpoint.source "claim" -}}
{{ printf "/checkpoint/%s" (trimPrefix "/" .checkpoint.path) | trimSuffix "/" }}
{{- else -}}
/checkpoint/{{ default "fetched" (base (trimSuffix "/" (ternary .checkpoint.s3.prefix .checkpoint.oci.path (eq .checkpoint.source "s3")))) }}
{{- end -}}
{{- end -}}

{{- define "eureka.checkpointVolume" -}}
{{- if eq .checkpoint.source "claim" }}
- name: checkpoint
  persistentVolumeClaim:
    claimName: {{ required "checkpoint.claim.existingClaim" .checkpoint.claim.existingClaim }}
    readOnly: true
{{- else if ne .checkpoint.source "image" }}
- name: checkpoint
  emptyDir: {sizeLimit: {{ default .root.Values.checkpoint.sizeLimit .checkpoint.sizeLimit }}}
{{- end }}
{{- end -}}

{{- define "eureka.checkpointMount" -}}
{{- if ne .checkpoint.source "image" }}
- {name: checkpoint, mountPath: /checkpoint, readOnly: true}
{{- end }}
{{- end -}}

{{/* Init containers that bring it and check it. */}}
{{- define "eureka.checkpointInit" -}}
{{- $folder := include "eureka.checkpointFolder" . -}}
{{- $resources := default .root.Values.checkpoint.resources .checkpoint.resources -}}
{{- if eq .checkpoint.source "oci" }}
- name: copy-checkpoint
  image: {{ required "checkpoint.oci.image" .checkpoint.oci.image }}
  imagePullPolicy: {{ .root.Values.images.pullPolicy }}
  command: [cp, -R, {{ printf "%s/." (trimSuffix "/" .checkpoint.oci.path) }}, {{ $folder }}]
  resources: {{- toYaml $resources | nindent 4 }}
  securityContext: {{- include "eureka.containerSecurity" . | nindent 4 }}
  volumeMounts:
    - {name: checkpoint, mountPath: /checkpoint}
{{- end }}
{{- if has .checkpoint.source (list "s3" "oci") }}
- name: check-checkpoint
  image: {{ include "eureka.image" (dict "root" .root "image" .image) }}
  imagePullPolicy: {{ .root.Values.images.pullPolicy }}
  command:
    - python
    - -m
    - eureka.runtime.checkpoint_fetch
    - {{ $folder }}
    {{- if eq .checkpoint.source "s3" }}
    - --prefix={{ required "checkpoint.s3.prefix" .checkpoint.s3.prefix }}
    {{- end }}
    - --sha256={{ required "checkpoint.sha256" .checkpoint.sha256 }}
  {{- if eq .checkpoint.source "s3" }}
  {{- $s3 := .checkpoint.s3 }}
  env:
    - {name: EUREKA_STORAGE__KIND, value: s3}
    - {name: EUREKA_STORAGE__ENDPOINT, value: {{ required "checkpoint.s3.endpoint" $s3.endpoint | quote }}}
    - {name: EUREKA_STORAGE__REGION, value: {{ $s3.region | quote }}}
    - {name: EUREKA_STORAGE__BUCKET, value: {{ required "checkpoint.s3.bucket" $s3.bucket | quote }}}
    - name: EUREKA_STORAGE__ACCESS_KEY
      valueFrom:
        secretKeyRef: {name: {{ required "checkpoint.s3.existingSecret" $s3.existingSecret }}, key: access-key}
    - name: EUREKA_STORAGE__SECRET_KEY
      valueFrom:
        secretKeyRef: {name: {{ $s3.existingSecret }}, key: secret-key}
  {{- end }}
  resources: {{- toYaml $resources | nindent 4 }}
  securityContext: {{- include "eureka.containerSecurity" . | nindent 4 }}
  volumeMounts:
    - {name: checkpoint, mountPath: /checkpoint}
    - {name: tmp, mountPath: /tmp}
{{- end }}
{{- end -}}
