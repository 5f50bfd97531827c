{{/*
Helpers for charts that have this one as a dependency. Each takes this chart's context, which a parent reaches by
`.Subcharts.millpond`:

    {{- include "millpond.sidecar" .Subcharts.millpond | nindent 8 }}

  millpond.sidecar              a list item for `initContainers`
  millpond.volumes              list items for `volumes`
  millpond.clientEnv            list items for the application's `env`
  millpond.clientVolumeMounts   list items for the application's `volumeMounts`
  millpond.podSecurityContext   keys for the pod's `securityContext`
  millpond.podLabels            keys for the pod's `labels`; the PodMonitor and the NetworkPolicy select them
  millpond.podAnnotations       keys for the pod's `annotations`
*/}}

{{- define "millpond.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "millpond.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "millpond.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "millpond.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "millpond.labels" -}}
app.kubernetes.io/name: {{ include "millpond.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "millpond.podLabels" -}}
millpond/sidecar: {{ include "millpond.fullname" . }}
{{- end -}}

{{/*
The configuration as it goes into the file. Helm reads YAML 1.1, in which `mode: on` and `admin: off` are booleans;
they are put back into words here.
*/}}
{{- define "millpond.configDocument" -}}
{{- if .Values.configText -}}
{{- .Values.configText | trim -}}
{{- else -}}
{{- $config := deepCopy .Values.config -}}
{{- range $key := list "listen" "socket" "probe" "admin" -}}
{{- if and (hasKey $config $key) (kindIs "bool" (get $config $key)) -}}
{{- $_ := set $config $key (ternary "on" "off" (get $config $key)) -}}
{{- end -}}
{{- end -}}
{{- $policies := values (default dict $config.caches) -}}
{{- if $config.undeclared -}}{{- $policies = append $policies $config.undeclared -}}{{- end -}}
{{- range $policy := $policies -}}
{{- if and (kindIs "map" $policy) (hasKey $policy "mode") (kindIs "bool" $policy.mode) -}}
{{- $_ := set $policy "mode" (ternary "on" "off" $policy.mode) -}}
{{- end -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}
{{- end -}}

{{/* The port of probes and metrics: what the configuration says, else 7472. */}}
{{- define "millpond.probePort" -}}
{{- $config := include "millpond.configDocument" . | fromYaml -}}
{{- if hasKey $config "Error" -}}
{{- fail (printf "config: not YAML: %s" $config.Error) -}}
{{- end -}}
{{- $probe := toString (default "0.0.0.0:7472" $config.probe) -}}
{{- if or (eq $probe "off") (eq $probe "false") (hasPrefix "127." $probe) (hasPrefix "localhost:" $probe) (hasPrefix "[::1]:" $probe) -}}
{{- fail (printf "config.probe: %s cannot be reached by the kubelet; expected an address on every interface, such as 0.0.0.0:7472" $probe) -}}
{{- end -}}
{{- $port := regexFind "[0-9]+$" $probe -}}
{{- if or (not $port) (lt (atoi $port) 1) (gt (atoi $port) 65535) -}}
{{- fail (printf "config.probe: %s has no port from 1 to 65535; expected an address such as 0.0.0.0:7472" $probe) -}}
{{- end -}}
{{- $port -}}
{{- end -}}

{{- define "millpond.configHash" -}}
{{- include "millpond.configDocument" . | sha256sum | trunc 10 -}}
{{- end -}}

{{- define "millpond.configName" -}}
{{- if eq .Values.configMap.update "reload" -}}
{{- printf "%s-config" (include "millpond.fullname" .) -}}
{{- else -}}
{{- printf "%s-config-%s" (include "millpond.fullname" .) (include "millpond.configHash" .) -}}
{{- end -}}
{{- end -}}

{{/* With `reload` the hash must not be in the pod's template: it would roll what is to be reloaded. */}}
{{- define "millpond.podAnnotations" -}}
millpond/version: {{ .Chart.AppVersion | quote }}
{{- if ne .Values.configMap.update "reload" }}
millpond/config: {{ include "millpond.configHash" . | quote }}
{{- end }}
{{- end -}}

{{- define "millpond.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* The kubelet asks by number, so that the name is free to change. */}}
{{- define "millpond.probe" -}}
httpGet:
  path: {{ .path }}
  port: {{ .port }}
{{ toYaml .times }}
{{- end -}}

{{- define "millpond.sidecar" -}}
{{- $port := include "millpond.probePort" . -}}
- name: millpond
  image: {{ include "millpond.image" . | quote }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  # What makes an init container a sidecar: it keeps running, is restarted, and ends after the application.
  restartPolicy: Always
  args: [serve, --config, /etc/millpond/millpond.yaml]
  {{- with .Values.sidecar.env }}
  env:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  ports:
    - name: millpond-probe
      containerPort: {{ $port }}
      protocol: TCP
  # The application starts once this has succeeded.
  startupProbe:
    {{- include "millpond.probe" (dict "path" "/startupz" "port" $port "times" .Values.sidecar.startupProbe) | nindent 4 }}
  livenessProbe:
    {{- include "millpond.probe" (dict "path" "/livez" "port" $port "times" .Values.sidecar.livenessProbe) | nindent 4 }}
  # Counts towards the pod's readiness. False only while the sidecar ends.
  readinessProbe:
    {{- include "millpond.probe" (dict "path" "/readyz" "port" $port "times" .Values.sidecar.readinessProbe) | nindent 4 }}
  {{- if eq .Values.sidecar.preStop "drain" }}
  {{- $document := include "millpond.configDocument" . | fromYaml }}
  {{- /* In a text, `off` is read as a boolean. */}}
  {{- if has (toString $document.admin) (list "off" "false") }}
  {{- fail "sidecar.preStop: drain calls the admin port, and config.admin is off; expected none, or an admin port" }}
  {{- end }}
  # Runs when the pod begins to end, beside the application's own hooks and not after them.
  lifecycle:
    preStop:
      exec:
        {{- /* Unless the file moves the port, it is where the command looks by itself. */}}
        command: [/millpond, drain{{ with $document.admin }}, --admin, {{ . | quote }}{{ end }}]
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    readOnlyRootFilesystem: true
    allowPrivilegeEscalation: false
    capabilities:
      drop: [ALL]
    seccompProfile:
      type: RuntimeDefault
  {{- with .Values.sidecar.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  volumeMounts:
    - name: millpond-run
      mountPath: /run/millpond
    # The folder, not the file by subPath: a file mounted by subPath never changes.
    - name: millpond-config
      mountPath: /etc/millpond
      readOnly: true
{{- end -}}

{{- define "millpond.volumes" -}}
- name: millpond-run
  emptyDir:
    medium: Memory
    sizeLimit: {{ .Values.socket.sizeLimit }}
- name: millpond-config
  configMap:
    name: {{ include "millpond.configName" . }}
{{- end -}}

{{/* Where the application finds the sidecar: the Unix socket, or TCP when the socket is off. */}}
{{- define "millpond.clientAddress" -}}
{{- $config := include "millpond.configDocument" . | fromYaml -}}
{{- $socket := toString (default "/run/millpond/millpond.sock" $config.socket) -}}
{{- if has $socket (list "off" "false") -}}
{{- printf "http://%s" (toString (default "127.0.0.1:7470" $config.listen)) -}}
{{- else if hasPrefix "/run/millpond/" $socket -}}
{{- printf "unix:%s" $socket -}}
{{- else -}}
{{- fail (printf "config.socket: %s is not in the folder that is shared with the application; expected a path under /run/millpond/" $socket) -}}
{{- end -}}
{{- end -}}

{{- define "millpond.clientEnv" -}}
- name: MILLPOND_ADDR
  value: {{ include "millpond.clientAddress" . }}
{{- end -}}

{{/* Read-only: a socket can be connected to all the same, and the application cannot remove it. */}}
{{- define "millpond.clientVolumeMounts" -}}
- name: millpond-run
  mountPath: /run/millpond
  readOnly: true
{{- end -}}

{{- define "millpond.podSecurityContext" -}}
fsGroup: {{ .Values.socket.group }}
{{- end -}}

{{/* A quantity of memory in bytes; nothing for what is no such quantity. */}}
{{- define "millpond.bytes" -}}
{{- $text := toString . -}}
{{- $number := regexFind "^[0-9]+" $text -}}
{{- $unit := trimPrefix $number $text -}}
{{- $units := dict "" 1 "k" 1000 "M" 1000000 "G" 1000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 -}}
{{- if and $number (hasKey $units $unit) -}}
{{- mul (int64 $number) (get $units $unit) -}}
{{- end -}}
{{- end -}}
