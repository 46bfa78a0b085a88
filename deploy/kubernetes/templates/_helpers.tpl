{{- define "backflip.name" -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* The roles: image and user of deploy/Dockerfile, and where it serves. All templates below take { root, role }. */}}
{{- define "backflip.roles" -}}
broker: { image: preference-broker, user: 10001, port: 7400 }
migrate: { image: preference-broker, user: 10001 }
learner: { image: policy-learner, user: 10002, port: 7500, token: learner.token }
trainer: { image: reward-trainer, user: 10003, token: trainer.token }
worker: { image: rollout-worker, user: 10004, token: worker.token }
labeler: { image: labeler, user: 10005, token: teacher.token }
{{- end }}

{{- define "backflip.selector" -}}
app.kubernetes.io/name: backflip
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .role }}
{{- end }}

{{- define "backflip.labels" -}}
{{ include "backflip.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{- define "backflip.metadata" -}}
name: {{ include "backflip.name" .root }}-{{ .role }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "backflip.labels" . | nindent 2 }}
{{- end }}

{{/* What a program shows of itself, and whom it trusts; a list, with a certificate of its own. */}}
{{- define "backflip.transport" -}}
{{- if .root.Values.tls.enabled }}
- --tls_certificate=/run/backflip/tls/tls.crt
- --tls_key=/run/backflip/tls/tls.key
- --tls_ca=/run/backflip/tls/ca.crt
{{- else }}
- --insecure
{{- end }}
{{- end }}

{{- define "backflip.arguments" -}}
{{- $name := include "backflip.name" .root -}}
{{- if eq .role "migrate" }}
- migrate
- --tokens=/run/backflip/tokens
{{- else if eq .role "broker" }}
- serve
- --listen=0.0.0.0:7400
{{- with .root.Values.pages.publicUrl }}
- --http_listen=0.0.0.0:7480
- --public_url={{ . }}
{{- end }}
{{- else }}
- --broker={{ $name }}-broker.{{ .root.Release.Namespace }}.svc:7400
- --token_file=/run/backflip/token/token
{{- if eq .role "learner" }}
- --listen=0.0.0.0:7500
- --advertise=$(POD_NAME).{{ $name }}-learner.{{ .root.Release.Namespace }}.svc:7500
{{- else if eq .role "worker" }}
- --cache=/tmp/cache
{{- else if eq .role "labeler" }}
- --teacher={{ .root.Values.labeler.teacher }}
{{- end }}
{{- end }}
{{- if ne .role "migrate" }}
- --metrics_listen=0.0.0.0:9464
{{- include "backflip.transport" . }}
{{- end }}
{{- end }}

{{/* A pod: nobody in it is root, nothing but /tmp can be written, and it holds the secrets of its role alone. */}}
{{- define "backflip.pod" -}}
{{- $of := index (fromYaml (include "backflip.roles" .)) .role -}}
{{- $values := index .root.Values .role | default dict -}}
{{- $name := include "backflip.name" .root -}}
{{- $database := dict "migrate" .root.Values.database.owner "broker" .root.Values.database.app -}}
metadata:
  labels:
    {{- include "backflip.labels" . | nindent 4 }}
  {{- if ne .role "migrate" }}
  annotations:
    # what scrape configurations for pods look for
    prometheus.io/scrape: "true"
    prometheus.io/port: "9464"
  {{- end }}
spec:
  automountServiceAccountToken: false
  enableServiceLinks: false
  # time to save a checkpoint, to give tickets back, to answer calls that have begun
  terminationGracePeriodSeconds: 60
  {{- if eq .role "migrate" }}
  restartPolicy: Never
  {{- end }}
  {{- with .root.Values.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: {{ $of.user }}
    runAsGroup: {{ $of.user }}
    # who reads the secrets below
    fsGroup: {{ $of.user }}
    seccompProfile: { type: RuntimeDefault }
  {{- with $values.runtimeClassName }}
  runtimeClassName: {{ . }}
  {{- end }}
  {{- with $values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if ne .role "migrate" }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "backflip.selector" . | nindent 10 }}
  {{- end }}
  containers:
    - name: {{ $of.image }}
      {{- with index (.root.Values.image.digests | default dict) $of.image }}
      image: {{ $.root.Values.image.registry }}/{{ $of.image }}@{{ . }}
      {{- else }}
      image: {{ .root.Values.image.registry }}/{{ $of.image }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}
      {{- end }}
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      args:
        {{- include "backflip.arguments" . | trim | nindent 8 }}
      {{- with index $database .role }}
      env:
        - name: BACKFLIP_DATABASE_URL
          valueFrom: { secretKeyRef: { name: {{ .secret }}, key: {{ .key }} } }
      {{- end }}
      {{- if eq .role "learner" }}
      env:
        - name: POD_NAME
          valueFrom: { fieldRef: { fieldPath: metadata.name } }
      {{- end }}
      {{- if ne .role "migrate" }}
      ports:
        - { name: metrics, containerPort: 9464 }
        {{- with $of.port }}
        - { name: grpc, containerPort: {{ . }} }
        {{- end }}
        {{- if and (eq .role "broker") .root.Values.pages.publicUrl }}
        - { name: pages, containerPort: 7480 }
        {{- end }}
      {{- end }}
      {{- with $of.port }}
      # It listens: a database that is away is no reason to start it again.
      livenessProbe:
        tcpSocket: { port: grpc }
        periodSeconds: 10
        failureThreshold: 6
      # gRPC health. A command, since the kubelet's own probe speaks no TLS.
      readinessProbe:
        exec:
          command:
            - backflip-health
            - 127.0.0.1:{{ . }}
            {{- include "backflip.transport" $ | trim | nindent 12 }}
        periodSeconds: 5
        timeoutSeconds: 5
      {{- end }}
      {{- if eq .role "broker" }}
      lifecycle:
        # until nobody is sent here any more
        preStop: { sleep: { seconds: 5 } }
      {{- end }}
      {{- with $values.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: { drop: [ALL] }
      volumeMounts:
        - { name: tmp, mountPath: /tmp }
        {{- if $of.token }}
        - { name: token, mountPath: /run/backflip/token, readOnly: true }
        {{- end }}
        {{- if eq .role "migrate" }}
        - { name: tokens, mountPath: /run/backflip/tokens, readOnly: true }
        {{- else if .root.Values.tls.enabled }}
        - { name: tls, mountPath: /run/backflip/tls, readOnly: true }
        {{- end }}
        {{- if and (hasKey $database .role) .root.Values.database.ca.secret }}
        - { name: database-ca, mountPath: /run/backflip/database, readOnly: true }
        {{- end }}
  volumes:
    - name: tmp
      emptyDir: { sizeLimit: 1Gi }
    {{- with $of.token }}
    - name: token
      secret:
        secretName: {{ $.root.Values.tokens }}
        defaultMode: 0440
        items: [{ key: {{ . }}, path: token }]
    {{- end }}
    {{- if eq .role "migrate" }}
    - name: tokens
      secret: { secretName: {{ .root.Values.tokens }}, defaultMode: 0440 }
    {{- else if .root.Values.tls.enabled }}
    - name: tls
      secret: { secretName: {{ $name }}-{{ .role }}-tls, defaultMode: 0440 }
    {{- end }}
    {{- if and (hasKey $database .role) .root.Values.database.ca.secret }}
    - name: database-ca
      secret:
        secretName: {{ .root.Values.database.ca.secret }}
        defaultMode: 0440
        items: [{ key: {{ .root.Values.database.ca.key }}, path: ca.crt }]
    {{- end }}
{{- end }}
