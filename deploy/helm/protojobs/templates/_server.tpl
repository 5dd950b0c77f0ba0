{{- /* The configuration file: what the values say, and what belongs to the objects of this chart. */}}
{{- define "protojobs.config" -}}
{{- $config := deepCopy .Values.config }}
{{- $_ := set $config "host" "0.0.0.0" }}
{{- $_ := set $config "port" 50051 }}
{{- $_ := set $config "admin_port" 8080 }}
{{- if eq (include "protojobs.store" .) "sqlite" }}
{{- $_ := set $config "sqlite" (dict "path" "/var/lib/protojobs/protojobs.db") }}
{{- end }}
{{- if .Values.tls.enabled }}
{{- $tls := dict "cert" "/etc/protojobs/tls/tls.crt" "key" "/etc/protojobs/tls/tls.key" }}
{{- $_ := set $config "admin_tls" $tls }}
{{- if eq .Values.tls.clientAuth "required" }}
{{- $tls = merge (dict "client_ca" "/etc/protojobs/tls/ca.crt" "client_auth" "required") $tls }}
{{- end }}
{{- $_ := set $config "tls" $tls }}
{{- else }}
{{- $_ := set $config "insecure" true }}
{{- end }}
{{- toYaml $config }}
{{- end }}

{{- /* Of servers and migrations; the key of the listeners is not among them. Takes (list CONTEXT NAME), NAME that of the ConfigMap. */}}
{{- define "protojobs.serverVolumes" -}}
{{- $root := index . 0 -}}
- name: tmp
  emptyDir: {}
- name: config
  configMap:
    name: {{ index . 1 }}
{{- with $root.Values.secrets.storeFiles }}
- name: store
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- if eq (include "protojobs.store" $root) "sqlite" }}
- name: data
  persistentVolumeClaim:
    claimName: {{ $root.Values.persistence.existingClaim | default (include "protojobs.fullname" $root) }}
{{- end }}
{{- with $root.Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "protojobs.serverMounts" -}}
- name: tmp
  mountPath: /tmp
- name: config
  mountPath: /etc/protojobs/config
  readOnly: true
{{- if .Values.secrets.storeFiles }}
- name: store
  mountPath: /etc/protojobs/store
  readOnly: true
{{- end }}
{{- if eq (include "protojobs.store" .) "sqlite" }}
- name: data
  mountPath: /var/lib/protojobs
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* Of servers and migrations alike. */}}
{{- define "protojobs.serverEnv" -}}
- name: PROTOJOBS_CONFIG
  value: /etc/protojobs/config/protojobs.yaml
{{- $variables := dict "postgresDsn" "POSTGRES__DSN" "mysqlDsn" "MYSQL__DSN" "kafkaUsername" "KAFKA__USERNAME" "kafkaPassword" "KAFKA__PASSWORD" "outboxDsn" "OUTBOX_DSN" }}
{{- range $name, $variable := $variables }}
{{- with index $.Values.secrets $name }}
{{- if .existingSecret }}
- name: PROTOJOBS_{{ $variable }}
  valueFrom:
    secretKeyRef: {name: {{ .existingSecret }}, key: {{ .key }}}
{{- end }}
{{- end }}
{{- end }}
{{- include "protojobs.otelEnv" . }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* A container that migrates. Takes the context; the pod brings volumes. */}}
{{- define "protojobs.migration" -}}
- name: migrate
  image: {{ include "protojobs.serverImage" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  args: [migrate, upgrade]
  securityContext: {{- toYaml .Values.securityContext | nindent 4 }}
  env: {{- include "protojobs.serverEnv" . | nindent 4 }}
  {{- with .Values.extraEnvFrom }}
  envFrom: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.migration.resources | default .Values.resources }}
  resources: {{- toYaml . | nindent 4 }}
  {{- end }}
  volumeMounts: {{- include "protojobs.serverMounts" . | nindent 4 }}
{{- end }}

{{- define "protojobs.egress" -}}
- ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
{{- with .Values.networkPolicy.egress.rules }}
{{ toYaml . }}
{{- end }}
{{- end }}
