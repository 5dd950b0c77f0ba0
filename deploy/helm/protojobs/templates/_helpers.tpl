{{- /* Names and labels. Workers carry the component worker-NAME, so that no selector takes in another's pods. */}}
{{- define "protojobs.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- /* Room is left for the longest name that begins so: a worker's. */}}
{{- define "protojobs.fullname" -}}
{{- $name := include "protojobs.name" . }}
{{- $full := .Values.fullnameOverride | default (ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name)) }}
{{- $full | trunc 30 | trimSuffix "-" }}
{{- end }}

{{- /* Takes (list CONTEXT COMPONENT). */}}
{{- define "protojobs.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "protojobs.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- /* Of pods: nothing that changes with the version of the chart, or they would all be replaced with it. */}}
{{- define "protojobs.podLabels" -}}
{{ include "protojobs.selector" . }}
app.kubernetes.io/part-of: protojobs
{{- with (index . 0).Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "protojobs.labels" -}}
{{- $root := index . 0 -}}
{{ include "protojobs.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
app.kubernetes.io/part-of: protojobs
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* Takes (list CONTEXT IMAGE TAG REGISTRY), the last two for what the image does not say. */}}
{{- define "protojobs.image" -}}
{{- $root := index . 0 }}{{ $image := index . 1 -}}
{{- $registry := $image.registry | default $root.Values.global.imageRegistry | default (index . 3) }}
{{- with $registry }}{{ trimSuffix "/" . }}/{{ end }}{{ $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default (index . 2) }}{{ end }}
{{- end }}

{{- /* Servers, their migration and the test pod run one image, from where releases put it. */}}
{{- define "protojobs.serverImage" -}}
{{- include "protojobs.image" (list . .Values.image .Chart.AppVersion "ghcr.io") }}
{{- end }}

{{- define "protojobs.pullSecrets" }}
{{- with .Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "protojobs.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (ternary (include "protojobs.fullname" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{- define "protojobs.tlsSecretName" -}}
{{- .Values.tls.existingSecret | default (printf "%s-tls" (include "protojobs.fullname" .)) }}
{{- end }}

{{- /* The store that holds the tables: of Kafka its side store. */}}
{{- define "protojobs.store" -}}
{{- $driver := .Values.config.driver | default "sqlite" }}
{{- if eq $driver "kafka" }}{{ (.Values.config.kafka | default dict).side | default "sqlite" }}{{ else }}{{ $driver }}{{ end }}
{{- end }}

{{- define "protojobs.headlessHost" -}}
{{- printf "%s-headless.%s.svc" (include "protojobs.fullname" .) .Release.Namespace }}
{{- end }}

{{- /* What Prometheus expects in the certificate, and every client too. */}}
{{- define "protojobs.serverName" -}}
{{- printf "%s.%s.svc" (include "protojobs.fullname" .) .Release.Namespace }}
{{- end }}

{{- define "protojobs.probeScheme" -}}
{{- ternary "HTTPS" "HTTP" .Values.tls.enabled }}
{{- end }}

{{- define "protojobs.otelEnv" -}}
{{- with .Values.otel.endpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ . | quote }}
- name: OTEL_EXPORTER_OTLP_PROTOCOL
  value: {{ $.Values.otel.protocol | quote }}
{{- end }}
{{- end }}

{{- /* Environment of whatever calls the servers. Takes (list CONTEXT TOKEN), TOKEN as `smoke.token`. */}}
{{- define "protojobs.clientEnv" -}}
{{- $root := index . 0 }}{{ $token := index . 1 -}}
- name: PROTOJOBS_ADDRESS
  value: {{ printf "%s:50051" (include "protojobs.headlessHost" $root) | quote }}
{{- if $root.Values.tls.enabled }}
- name: PROTOJOBS_CA
  value: /etc/protojobs/tls/ca.crt
- name: PROTOJOBS_SERVER_NAME
  value: {{ include "protojobs.serverName" $root | quote }}
{{- else }}
- name: PROTOJOBS_INSECURE
  value: "true"
{{- end }}
{{- if or $token.existingSecret $token.serviceAccountAudience }}
- name: PROTOJOBS_TOKEN_FILE
  value: /etc/protojobs/token/token
{{- end }}
{{- end }}

{{- define "protojobs.clientMounts" -}}
{{- $root := index . 0 }}{{ $token := index . 1 -}}
- name: tmp
  mountPath: /tmp
{{- if $root.Values.tls.enabled }}
- name: ca
  mountPath: /etc/protojobs/tls
  readOnly: true
{{- end }}
{{- if or $token.existingSecret $token.serviceAccountAudience }}
- name: token
  mountPath: /etc/protojobs/token
  readOnly: true
{{- end }}
{{- end }}

{{- /* Of the secret with the servers' key only the roots. */}}
{{- define "protojobs.clientVolumes" -}}
{{- $root := index . 0 }}{{ $token := index . 1 -}}
- name: tmp
  emptyDir: {}
{{- if $root.Values.tls.enabled }}
- name: ca
  secret:
    secretName: {{ include "protojobs.tlsSecretName" $root }}
    defaultMode: 0440
    items: [{key: ca.crt, path: ca.crt}]
{{- end }}
{{- if $token.serviceAccountAudience }}
- name: token
  projected:
    sources:
      - serviceAccountToken:
          audience: {{ $token.serviceAccountAudience | quote }}
          expirationSeconds: 3600
          path: token
    defaultMode: 0440
{{- else if $token.existingSecret }}
- name: token
  secret:
    secretName: {{ $token.existingSecret }}
    defaultMode: 0440
    items: [{key: {{ $token.key }}, path: token}]
{{- end }}
{{- end }}
