{{- /* What is said of a worker over what is said of all. As JSON: an include gives text. Takes (list CONTEXT NAME). */}}
{{- define "protojobs.worker" -}}
{{- $root := index . 0 -}}
{{- $own := index $root.Values.workers (index . 1) -}}
{{- $worker := mustMergeOverwrite (deepCopy $root.Values.workerDefaults) (deepCopy $own) -}}
{{- if and (not $worker.target) (not (hasKey $own "healthPort")) }}
{{- $_ := set $worker "healthPort" 0 }}
{{- end }}
{{- toJson $worker }}
{{- end }}

{{- define "protojobs.workerName" -}}
{{- printf "%s-worker-%s" (include "protojobs.fullname" (index . 0)) (index . 1) }}
{{- end }}

{{- /* Takes (list CONTEXT NAME WORKER). */}}
{{- define "protojobs.workerArgs" -}}
{{- $worker := index . 2 -}}
{{- if $worker.target }}
- {{ $worker.target | quote }}
{{- range $queue, $weight := $worker.queues }}
- --queue={{ $queue }}={{ $weight }}
{{- end }}
- --concurrency={{ $worker.concurrency }}
- --grace={{ $worker.grace }}
{{- if eq $worker.kind "job" }}
- --until-empty
{{- else if $worker.healthPort }}
- --health-port={{ $worker.healthPort }}
{{- end }}
{{- end }}
{{- with $worker.args }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* The template of a worker's pods. Takes (list CONTEXT NAME WORKER). */}}
{{- define "protojobs.workerPod" -}}
{{- $root := index . 0 }}{{ $name := index . 1 }}{{ $worker := index . 2 -}}
{{- $component := printf "worker-%s" $name -}}
metadata:
  labels:
    {{- include "protojobs.podLabels" (list $root $component) | nindent 4 }}
    protojobs.dev/worker: {{ $name }}
    {{- with $worker.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $worker.podAnnotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- if eq $worker.kind "job" }}
  restartPolicy: Never
  {{- end }}
  serviceAccountName: {{ include "protojobs.workerName" . }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- with include "protojobs.pullSecrets" $root }}
  {{- . | trim | nindent 2 }}
  {{- end }}
  securityContext: {{- toYaml $root.Values.podSecurityContext | nindent 4 }}
  # After --grace handlers are cancelled and have 5 s; the rest goes back to its queue, which needs a moment.
  terminationGracePeriodSeconds: {{ add $worker.grace 15 }}
  containers:
    - name: worker
      image: {{ include "protojobs.image" (list $root $worker.image "" "") }}
      imagePullPolicy: {{ $worker.image.pullPolicy }}
      {{- with $worker.command }}
      command: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with include "protojobs.workerArgs" . | trim }}
      args: {{- . | nindent 8 }}
      {{- end }}
      securityContext: {{- toYaml $root.Values.securityContext | nindent 8 }}
      env:
        {{- include "protojobs.clientEnv" (list $root $worker.token) | nindent 8 }}
        {{- with include "protojobs.otelEnv" $root | trim }}
        {{- . | nindent 8 }}
        {{- end }}
        {{- with $worker.env }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with $worker.envFrom }}
      envFrom: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- if and $worker.healthPort (eq $worker.kind "deployment") }}
      ports:
        - {name: health, containerPort: {{ $worker.healthPort }}}
      startupProbe:
        httpGet: {path: /healthz, port: health}
        periodSeconds: 2
        failureThreshold: 60
      # 503 only for what a restart may mend: two minutes without the server, or a blocked event loop.
      livenessProbe:
        httpGet: {path: /healthz, port: health}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 3
      {{- end }}
      {{- with $worker.resources }}
      resources: {{- toYaml . | nindent 8 }}
      {{- end }}
      volumeMounts:
        {{- include "protojobs.clientMounts" (list $root $worker.token) | nindent 8 }}
        {{- with $worker.volumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    {{- include "protojobs.clientVolumes" (list $root $worker.token) | nindent 4 }}
    {{- with $worker.volumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $worker.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $worker.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $worker.affinity }}
  affinity: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $worker.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
{{- end }}

{{- /* How KEDA asks the servers for the jobs of a worker. Takes (list CONTEXT NAME WORKER). */}}
{{- define "protojobs.workerTrigger" -}}
{{- $root := index . 0 }}{{ $worker := index . 2 -}}
- type: external-push
  {{- if $root.Values.tls.enabled }}
  authenticationRef: {name: {{ include "protojobs.fullname" $root }}}
  {{- end }}
  metadata:
    scalerAddress: {{ printf "%s:%v" (include "protojobs.headlessHost" $root) $root.Values.scaler.port | quote }}
    {{- if $root.Values.tls.enabled }}
    enableTLS: "true"
    {{- end }}
    queues: {{ keys $worker.queues | sortAlpha | join "," | quote }}
    {{- with $worker.autoscaling.kinds }}
    kinds: {{ join "," . | quote }}
    {{- end }}
    targetPerReplica: {{ $worker.autoscaling.jobsPerPod | default $worker.concurrency | int64 | quote }}
    {{- with $worker.autoscaling.activationBacklog }}
    activationBacklog: {{ . | int64 | quote }}
    {{- end }}
{{- end }}
