{{- /* What no schema can say: values that contradict each other. Each message names the value to change. */}}
{{- define "protojobs.validate" -}}
{{- $store := include "protojobs.store" . }}
{{- $shared := not (has $store (list "sqlite" "memory")) }}
{{- if and .Values.tls.enabled .Values.insecure }}
{{- fail "insecure: tls.enabled is set as well; choose one" }}
{{- end }}
{{- if not (or .Values.tls.enabled .Values.insecure) }}
{{- fail "tls.enabled: servers in a cluster listen beyond their machine; set tls.enabled, or insecure to let them listen in plain text" }}
{{- end }}
{{- if and (gt (int .Values.replicaCount) 1) (not $shared) }}
{{- fail (printf "replicaCount: %s belongs to one server; more than one want config.driver postgres, mysql, or kafka with a kafka.side of those" $store) }}
{{- end }}
{{- if and (eq $store "sqlite") (not .Values.persistence.enabled) }}
{{- fail "persistence.enabled: SQLite without a volume loses every job with its pod; set it, or name another store in config.driver" }}
{{- end }}
{{- if and .Values.persistence.enabled (ne $store "sqlite") }}
{{- fail (printf "persistence.enabled: the store is %s and needs no volume" $store) }}
{{- end }}
{{- if and (not $shared) (has .Values.migration.mode (list "hook" "job")) }}
{{- fail (printf "migration.mode: %s belongs to one process, so no job can migrate it; use initContainer" $store) }}
{{- end }}
{{- if and (eq $store "postgres") (not .Values.secrets.postgresDsn.existingSecret) }}
{{- fail "secrets.postgresDsn.existingSecret: the store is PostgreSQL; name the secret that has its DSN" }}
{{- end }}
{{- if and (eq $store "mysql") (not .Values.secrets.mysqlDsn.existingSecret) }}
{{- fail "secrets.mysqlDsn.existingSecret: the store is MariaDB; name the secret that has its DSN" }}
{{- end }}
{{- if hasPrefix "sasl" ((.Values.config.kafka | default dict).security | default "") }}
{{- range $name := list "kafkaUsername" "kafkaPassword" }}
{{- if not (index $.Values.secrets $name).existingSecret }}
{{- fail (printf "secrets.%s.existingSecret: config.kafka.security wants a user and a password; name the secret that has it" $name) }}
{{- end }}
{{- end }}
{{- end }}
{{- $shutdown := .Values.config.shutdown | default dict }}
{{- $needed := add .Values.shutdown.preStopSeconds (ceil ($shutdown.delay | default 0.0)) (ceil (ternary $shutdown.grace 30.0 (hasKey $shutdown "grace"))) }}
{{- if le (int .Values.shutdown.terminationGracePeriodSeconds) (int $needed) }}
{{- fail (printf "shutdown.terminationGracePeriodSeconds: %v s are needed for preStopSeconds, config.shutdown.delay and config.shutdown.grace, so it must be above that" $needed) }}
{{- end }}
{{- if and (eq ((.Values.config.auth | default dict).mode | default "auto") "required") .Values.smoke.enabled (not .Values.smoke.token.existingSecret) }}
{{- fail "smoke.token.existingSecret: config.auth.mode is required, so the pod of helm test needs a token; name its secret, or set smoke.enabled to false" }}
{{- end }}
{{- if and (eq .Values.tls.clientAuth "required") .Values.smoke.enabled }}
{{- fail "smoke.enabled: tls.clientAuth is required, and the pod of helm test has no certificate; set it to false" }}
{{- end }}
{{- range $name := keys .Values.workers | sortAlpha }}
{{- include "protojobs.validateWorker" (list $ $name (include "protojobs.worker" (list $ $name) | fromJson)) }}
{{- end }}
{{- end }}

{{- define "protojobs.validateWorker" -}}
{{- $root := index . 0 }}{{ $worker := index . 2 }}{{ $place := printf "workers.%s" (index . 1) }}
{{- $keda := or (eq $worker.kind "job") (eq $worker.autoscaling.mode "keda") }}
{{- if not $worker.image.repository }}
{{- fail (printf "%s.image.repository: name the image that has the handlers" $place) }}
{{- end }}
{{- if not (or $worker.image.tag $worker.image.digest) }}
{{- fail (printf "%s.image.tag: name the version of the image, or its digest" $place) }}
{{- end }}
{{- if not (or $worker.target $worker.command $worker.args) }}
{{- fail (printf "%s.target: name the worker as module:name, or give command or args for one in another language" $place) }}
{{- end }}
{{- if and $keda (not $root.Values.scaler.enabled) }}
{{- fail (printf "%s: KEDA asks the servers; set scaler.enabled" $place) }}
{{- end }}
{{- if and $keda (not $worker.queues) }}
{{- fail (printf "%s.queues: KEDA has to be told of which queues" $place) }}
{{- end }}
{{- if gt (int $worker.autoscaling.minReplicas) (int $worker.autoscaling.maxReplicas) }}
{{- fail (printf "%s.autoscaling.minReplicas: is above maxReplicas" $place) }}
{{- end }}
{{- if and (eq $worker.autoscaling.mode "hpa") (eq $worker.kind "deployment") (eq (int $worker.autoscaling.minReplicas) 0) }}
{{- fail (printf "%s.autoscaling.minReplicas: 0 pods use no processor time, so an hpa never starts one; 1 or more, or keda" $place) }}
{{- end }}
{{- if and (eq $worker.kind "job") (eq $worker.autoscaling.mode "hpa") }}
{{- fail (printf "%s.autoscaling.mode: a worker of kind job is started by KEDA" $place) }}
{{- end }}
{{- if and $worker.token.existingSecret $worker.token.serviceAccountAudience }}
{{- fail (printf "%s.token: existingSecret and serviceAccountAudience are two tokens; choose one" $place) }}
{{- end }}
{{- if and $worker.token.serviceAccountAudience (not ($root.Values.config.auth | default dict).oidc) }}
{{- fail (printf "%s.token.serviceAccountAudience: servers take such tokens where config.auth.oidc names their issuer" $place) }}
{{- end }}
{{- end }}
