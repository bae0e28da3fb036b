{{/* The prefix of all names. */}}
{{- define "miroir.fullname" -}}
{{- $chart := default .Chart.Name .Values.nameOverride -}}
{{- $release := ternary .Release.Name (printf "%s-%s" .Release.Name $chart) (contains $chart .Release.Name) -}}
{{- $name := default $release .Values.fullnameOverride -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $name) -}}
{{- fail (printf "%s can't be the name of a Service: set fullnameOverride" $name) -}}
{{- end -}}
{{- $name -}}
{{- end -}}

{{/* (list $ COMPONENT): what tells the component's objects from all others, for good. */}}
{{- define "miroir.selectorLabels" -}}
{{- $ := first . -}}
app.kubernetes.io/name: {{ default $.Chart.Name $.Values.nameOverride }}
app.kubernetes.io/instance: {{ $.Release.Name }}
app.kubernetes.io/component: {{ last . }}
{{- end -}}

{{/* (list $ COMPONENT) */}}
{{- define "miroir.labels" -}}
{{- $ := first . -}}
{{ include "miroir.selectorLabels" . }}
app.kubernetes.io/version: {{ $.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $.Chart.Name $.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "miroir.image" -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}

{{/* (list $ GROUP): the StatefulSet of a replica group, and its Service. Kubernetes allows 52 characters, since it adds
a hash to the name in a label. */}}
{{- define "miroir.group.fullname" -}}
{{- $name := printf "%s-meilisearch-%s" (include "miroir.fullname" (first .)) (last .).name -}}
{{- if gt (len $name) 52 -}}
{{- fail (printf "%s is longer than 52 characters: set a shorter fullnameOverride or name of the group" $name) -}}
{{- end -}}
{{- $name -}}
{{- end -}}

{{/* The control plane's name for Envoys and operators. */}}
{{- define "miroir.controlPlane.fullname" -}}
{{ include "miroir.fullname" . }}-control-plane
{{- end -}}

{{/* Where kubectl finds a control plane; any of several can be asked anything. */}}
{{- define "miroir.controlPlane.target" -}}
{{ ternary "deployment" "statefulset" (eq .Values.taskStore.backend "redis") }}/{{ include "miroir.controlPlane.fullname" . }}
{{- end -}}

{{/* The address of the control plane for Envoys. One that is alone keeps the address of its Service; of several, Envoys
know each, see which is gone and pass it over. */}}
{{- define "miroir.controlPlane.service" -}}
{{ include "miroir.controlPlane.fullname" . }}{{ if eq .Values.taskStore.backend "redis" }}-pods{{ end }}
{{- end -}}

{{- define "miroir.redis.fullname" -}}
{{ include "miroir.fullname" . }}-redis
{{- end -}}

{{/* Where the task store's Redis is. */}}
{{- define "miroir.redis.url" -}}
{{- if .Values.redis.enabled -}}
redis://{{ include "miroir.redis.fullname" . }}.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}:6379/0
{{- else -}}
{{- if regexMatch "//.*:.*@" .Values.taskStore.redis.url -}}
{{- fail "taskStore.redis.url holds a password: it belongs into taskStore.redis.password" -}}
{{- end -}}
{{ .Values.taskStore.redis.url }}
{{- end -}}
{{- end -}}

{{/* (list $ KEY DEFAULT-NAME): where a container finds a key or a password. */}}
{{- define "miroir.keyRef" -}}
{{- $key := index . 1 -}}
secretKeyRef:
  name: {{ default (printf "%s-%s" (include "miroir.fullname" (first .)) (last .)) $key.existingSecret }}
  key: {{ ternary $key.existingSecretKey (last .) (ne $key.existingSecret "") }}
{{- end -}}

{{/* (list $ COMPONENT VALUES NODE-SELECTOR): what all pods' specifications share. */}}
{{- define "miroir.pod" -}}
{{- $ := first . -}}
{{- $values := index . 2 -}}
automountServiceAccountToken: false
# Kubernetes would set variables such as MEILI_PORT for Services of like names.
enableServiceLinks: false
{{- with $.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with last . }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
- maxSkew: 1
  topologyKey: kubernetes.io/hostname
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "miroir.selectorLabels" (list $ (index . 1)) | nindent 6 }}
{{- end -}}

{{/* The user that a pod runs as, and that owns its files. */}}
{{- define "miroir.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{- define "miroir.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end -}}

{{/* The specification of a claim of disk space. */}}
{{- define "miroir.claim" -}}
accessModes: [ReadWriteOnce]
{{- with .storageClass }}
storageClassName: {{ . }}
{{- end }}
resources: { requests: { storage: {{ .size }} } }
{{- end -}}

{{/* Where Envoy finds the filter. */}}
{{- define "miroir.filter" -}}
/usr/share/miroir/miroir_filter.wasm
{{- end -}}
