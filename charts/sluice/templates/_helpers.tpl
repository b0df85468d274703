{{/*
The names, labels and rules that more than one template needs.
*/}}

{{- define "sluice.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/*
The prefix of every object's name. Cut at 50, so that "-webhook-tls" and the like still fit into 63; without the dots that Helm
allows in a release's name and Kubernetes does not in a Service's.
*/}}
{{- define "sluice.fullname" -}}
{{- $name := include "sluice.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | replace "." "-" | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | replace "." "-" | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "sluice.selectorLabels" -}}
app.kubernetes.io/name: {{ include "sluice.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* The user's labels first, the chart's own over them: a selector must never stop matching. */}}
{{- define "sluice.labels" -}}
{{- $own := dict
  "app.kubernetes.io/name" (include "sluice.name" .)
  "app.kubernetes.io/instance" .Release.Name
  "app.kubernetes.io/version" .Chart.AppVersion
  "app.kubernetes.io/part-of" "sluice"
  "app.kubernetes.io/managed-by" .Release.Service
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") -}}
{{- toYaml (merge $own (deepCopy .Values.commonLabels)) -}}
{{- end -}}

{{- define "sluice.image" -}}
{{- if .Values.image.digest -}}
{{- .Values.image.repository }}{{ with .Values.image.tag }}:{{ . }}{{ end }}@{{ .Values.image.digest -}}
{{- else -}}
{{- .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion -}}
{{- end -}}
{{- end -}}

{{/*
The image of the pods that evaluate the data checks of gates; empty means the operator's, with -gate added to its name. The operator's
digest is not carried over: another image has another.
*/}}
{{- define "sluice.gateImage" -}}
{{- with .Values.gates.image -}}
{{- . -}}
{{- else -}}
{{- .Values.image.repository }}-gate:{{ .Values.image.tag | default .Chart.AppVersion -}}
{{- end -}}
{{- end -}}

{{- define "sluice.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "sluice.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "sluice.webhook.service" -}}
{{ include "sluice.fullname" . }}-webhook
{{- end -}}

{{/* The webhook configurations, validating and mutating: no namespace, so named like the release. */}}
{{- define "sluice.webhook.config" -}}
{{ include "sluice.fullname" . }}
{{- end -}}

{{- define "sluice.webhook.secret" -}}
{{- .Values.webhook.secretName | default (printf "%s-webhook-tls" (include "sluice.fullname" .)) -}}
{{- end -}}

{{/* Annotations of the webhook configurations, as YAML; empty when there are none. */}}
{{- define "sluice.webhook.annotations" -}}
{{- $annotations := deepCopy .Values.webhook.annotations -}}
{{- if .Values.webhook.certManager.enabled -}}
{{- $certificate := printf "%s/%s-webhook" .Release.Namespace (include "sluice.fullname" .) -}}
{{- $annotations = merge (dict "cert-manager.io/inject-ca-from" $certificate) $annotations -}}
{{- end -}}
{{- with $annotations -}}
{{- toYaml . -}}
{{- end -}}
{{- end -}}

{{/* A condition of admission: not for the requests of the operator itself. */}}
{{- define "sluice.notTheOperator" -}}
- name: not-the-operator
  expression: request.userInfo.username != "system:serviceaccount:{{ .Release.Namespace }}:{{ include "sluice.serviceAccountName" . }}"
{{- end -}}

{{/* The namespaces the operator works in, as a selector; empty when that is all of them. */}}
{{- define "sluice.namespaceSelector" -}}
{{- with .Values.namespaces -}}
matchExpressions:
  - key: kubernetes.io/metadata.name
    operator: In
    values:
      {{- toYaml . | nindent 6 }}
{{- end -}}
{{- end -}}

{{/*
What the operator may do in a namespace it works in. Verbs by name, so that a new verb or kind is a decision; no Secrets: those that
metric sources name are granted one by one, by gates.credentials.
*/}}
{{- define "sluice.rules" -}}
- apiGroups: [sluice.dev]
  resources: [datapipelines, qualitygates, metricsources]
  verbs: [get, list, watch]
# Patch adopts a run that a person created (its owner), and cancels one that another replaces.
- apiGroups: [sluice.dev]
  resources: [pipelineruns]
  verbs: [get, list, watch, create, patch, delete]
# Patch sets and takes off the finalizer.
- apiGroups: [sluice.dev]
  resources: [canaries]
  verbs: [get, list, watch, patch]
- apiGroups: [sluice.dev]
  resources: [datapipelines/status, pipelineruns/status, qualitygates/status, metricsources/status, canaries/status]
  verbs: [patch]
# What the operator makes names its owner with blockOwnerDeletion, which asks for this where OwnerReferencesPermissionEnforcement is on.
- apiGroups: [sluice.dev]
  resources: [datapipelines/finalizers, pipelineruns/finalizers, canaries/finalizers]
  verbs: [update]
# Patch sets activeDeadlineSeconds, which ends a step.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, create, patch, delete]
# The revisions of a pipeline's spec.
- apiGroups: [apps]
  resources: [controllerrevisions]
  verbs: [get, list, watch, create, delete]
# Canaries: the target is labelled and paused, the candidate made and removed.
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
# What a target that was paused before runs.
- apiGroups: [apps]
  resources: [replicasets]
  verbs: [get, list]
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, patch, delete]
# Requests are given only to pods that their Service leads to already.
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list]
# A candidate grows by the rules of the target's autoscaler.
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, create, patch]
# Configs that belong to a version are read one by one. Secrets are not among them unless somebody grants them by name.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get]
# Patch changes weights; nothing else of a route.
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes, grpcroutes]
  verbs: [get, list, watch, patch]
# Hooks.
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, create, delete]
- apiGroups: [""]
  resources: [events]
  verbs: [create, patch]
{{- end -}}

{{/*
Checks that need more than one value, which a schema could only report in riddles.
*/}}
{{- define "sluice.validate" -}}
{{- $webhook := .Values.webhook -}}
{{- $files := eq $webhook.mode "files" -}}
{{- $certManager := $webhook.certManager.enabled -}}
{{- if and $certManager (not $files) -}}
{{- fail (printf "webhook.certManager.enabled is true and webhook.mode is %q: cert-manager's certificate comes as files, so set webhook.mode=files" $webhook.mode) -}}
{{- end -}}
{{- if and $files (not $certManager) (not $webhook.secretName) -}}
{{- fail "webhook.mode is \"files\" without cert-manager: set webhook.secretName to the Secret with tls.crt and tls.key, or webhook.certManager.enabled=true" -}}
{{- end -}}
{{- if and $files (not $certManager) (not $webhook.caBundle) (not $webhook.annotations) -}}
{{- fail "webhook.mode is \"files\" without cert-manager: set webhook.caBundle, or webhook.annotations for a tool that injects the CA; the API server would refuse every change of a pipeline, run, gate, canary or metric source" -}}
{{- end -}}
{{- if and $webhook.caBundle (or (not $files) $certManager) -}}
{{- fail "webhook.caBundle is only for webhook.mode=files without cert-manager: otherwise the operator or cert-manager writes it, and an upgrade would reset it" -}}
{{- end -}}
{{- if and (eq .Values.hold.by "webhook") (eq $webhook.mode "off") -}}
{{- fail "hold.by is \"webhook\" and webhook.mode is \"off\": nothing would hold the targets of canaries back; set hold.by=policy where the API server has MutatingAdmissionPolicy, hold.by=auto to go without, or turn the webhook on" -}}
{{- end -}}
{{- $seen := list -}}
{{- range .Values.gates.credentials -}}
{{- if has .namespace $seen -}}
{{- fail (printf "gates.credentials has the namespace %q twice: put its Secrets into one list" .namespace) -}}
{{- end -}}
{{- $seen = append $seen .namespace -}}
{{- if not .secrets -}}
{{- fail (printf "gates.credentials of the namespace %q names no Secret: a role without names would be for all of them" .namespace) -}}
{{- end -}}
{{- if and $.Values.namespaces (not (has .namespace $.Values.namespaces)) -}}
{{- fail (printf "gates.credentials has the namespace %q, which is not among namespaces: the operator does not work there" .namespace) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.metrics.serviceMonitor.enabled (not .Values.metrics.service.enabled) -}}
{{- fail "metrics.serviceMonitor.enabled is true and metrics.service.enabled is false: a ServiceMonitor needs the Service" -}}
{{- end -}}
{{- if eq (int .Values.metrics.port) (int $webhook.port) -}}
{{- fail (printf "metrics.port and webhook.port are both %d: they must differ" (int .Values.metrics.port)) -}}
{{- end -}}
{{- end -}}
