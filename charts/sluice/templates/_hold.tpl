{{/*
What holds the targets of canaries, and which requests concern it: the same for the webhook and for the policies.
*/}}

{{/*
Who holds the targets of canaries: policy, webhook, or none. `auto` is the policies where the API server has them.
*/}}
{{- define "sluice.hold.by" -}}
{{- if or (eq .Values.hold.by "policy") (and (eq .Values.hold.by "auto") (include "sluice.hold.served" .)) -}}
policy
{{- else if eq .Values.webhook.mode "off" -}}
none
{{- else -}}
webhook
{{- end -}}
{{- end -}}

{{/* The API version in which the cluster has mutating policies; empty where it has none. */}}
{{- define "sluice.hold.served" -}}
{{- if .Capabilities.APIVersions.Has "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy" -}}
v1
{{- else if .Capabilities.APIVersions.Has "admissionregistration.k8s.io/v1beta1/MutatingAdmissionPolicy" -}}
v1beta1
{{- end -}}
{{- end -}}

{{/*
Which changes of Deployments concern a hold. The API server matches the label on the old object or the new one; only the old one counts.
*/}}
{{- define "sluice.hold.conditions" -}}
{{- include "sluice.notTheOperator" . }}
- name: target-of-a-canary
  expression: oldObject.metadata.?labels[?"sluice.dev/canary"].orValue("") != ""
- name: concerns-the-hold
  expression: >-
    object.spec.template != oldObject.spec.template
    || object.spec.?paused.orValue(false) != oldObject.spec.?paused.orValue(false)
    || object.metadata.?labels[?"sluice.dev/canary"] != oldObject.metadata.?labels[?"sluice.dev/canary"]
    || object.metadata.?annotations[?"sluice.dev/held"] != oldObject.metadata.?annotations[?"sluice.dev/held"]
{{- end -}}

{{- define "sluice.hold.rules" -}}
- apiGroups: [apps]
  apiVersions: [v1]
  operations: [UPDATE]
  resources: [deployments]
  scope: Namespaced
{{- end -}}

{{- define "sluice.hold.selector" -}}
matchExpressions:
  - key: sluice.dev/canary
    operator: Exists
{{- end -}}

{{/* Which changes of Canaries concern what is asked of them. */}}
{{- define "sluice.control.conditions" -}}
{{- include "sluice.notTheOperator" . }}
- name: concerns-a-request
  expression: >-
    [object.metadata.?annotations[?"sluice.dev/control"].orValue(""), object.metadata.?annotations[?"sluice.dev/control-by"].orValue("")]
    != (request.operation == "CREATE" ? ["", ""] :
    [oldObject.metadata.?annotations[?"sluice.dev/control"].orValue(""), oldObject.metadata.?annotations[?"sluice.dev/control-by"].orValue("")])
{{- end -}}

{{- define "sluice.control.rules" -}}
- apiGroups: [sluice.dev]
  apiVersions: [v1alpha1]
  operations: [CREATE, UPDATE]
  resources: [canaries]
  scope: Namespaced
{{- end -}}
