{{- define "cronix-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "cronix-operator.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- /* Cluster-wide objects carry the namespace too, so that two releases of one name do not meet. */}}
{{- define "cronix-operator.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "cronix-operator.fullname" .) }}
{{- end }}

{{- define "cronix-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "cronix-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "cronix-operator.labels" -}}
{{- $own := dict
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-")
  "app.kubernetes.io/version" .Chart.AppVersion
  "app.kubernetes.io/managed-by" .Release.Service
  "app.kubernetes.io/part-of" "cronix"
}}
{{- toYaml (merge (include "cronix-operator.selectorLabels" . | fromYaml) $own .Values.commonLabels) }}
{{- end }}

{{- define "cronix-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "cronix-operator.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- /* An image's name, from a dict of image and appVersion. The digest wins; a tag beside it is kept for people to read. */}}
{{- define "cronix-operator.imageName" -}}
{{- $tag := .image.tag | default (ternary "" .appVersion (ne .image.digest "")) }}
{{- with .image.registry }}{{ trimSuffix "/" . }}/{{ end }}{{ .image.repository }}{{ with $tag }}:{{ . }}{{ end }}{{ with .image.digest }}@{{ . }}{{ end }}
{{- end }}

{{- /* The namespaces that are watched, as JSON under the key "list"; none means the whole cluster. */}}
{{- define "cronix-operator.watched" -}}
{{- if eq .Values.watch.mode "release" }}
{{- dict "list" (list .Release.Namespace) | toJson }}
{{- else if eq .Values.watch.mode "namespaces" }}
{{- if not .Values.watch.namespaces }}
{{- fail "watch.mode is namespaces, but watch.namespaces is empty: list the namespaces to watch, or set watch.mode to cluster or release" }}
{{- end }}
{{- dict "list" (.Values.watch.namespaces | uniq) | toJson }}
{{- else }}
{{- if .Values.watch.namespaces }}
{{- fail "watch.namespaces is given, but watch.mode is cluster: set watch.mode to namespaces, or leave the list empty" }}
{{- end }}
{{- dict "list" list | toJson }}
{{- end }}
{{- end }}

{{- /* Secrets right in the cluster: only a release that watches the cluster has a ClusterRole to put it in. */}}
{{- define "cronix-operator.secretsMode" -}}
{{- if and (eq .Values.rbac.secrets "cluster") (ne .Values.watch.mode "cluster") -}}
namespaces
{{- else -}}
{{ .Values.rbac.secrets }}
{{- end }}
{{- end }}

{{- /* The namespaces in which a Role lets Secrets be read, as JSON under the key "list". */}}
{{- define "cronix-operator.secretsNamespaces" -}}
{{- $watched := (include "cronix-operator.watched" . | fromJson).list }}
{{- if ne (include "cronix-operator.secretsMode" .) "namespaces" }}
{{- dict "list" list | toJson }}
{{- else if .Values.rbac.secretsNamespaces }}
{{- range .Values.rbac.secretsNamespaces }}
{{- if and $watched (not (has . $watched)) }}
{{- fail (printf "rbac.secretsNamespaces names %s, which is not watched: add it to watch.namespaces or remove it" .) }}
{{- end }}
{{- end }}
{{- dict "list" (.Values.rbac.secretsNamespaces | uniq) | toJson }}
{{- else if $watched }}
{{- dict "list" $watched | toJson }}
{{- else }}
{{- fail "rbac.secrets is namespaces and the whole cluster is watched: list in rbac.secretsNamespaces where Secrets may be read, or set rbac.secrets to cluster or none" }}
{{- end }}
{{- end }}

{{- /* Everything the operator does in a namespace it watches, but Secrets. */}}
{{- define "cronix-operator.rules" -}}
- apiGroups: [cronix.dev]
  resources: [cronixapps]
  verbs: [get, list, watch]
- apiGroups: [cronix.dev]
  resources: [cronixapps/status]
  verbs: [patch]
- apiGroups: [batch]
  resources: [cronjobs]
  verbs: [get, list, watch, create, update, delete]
- apiGroups: [batch]
  resources: [cronjobs/status]
  verbs: [patch]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [events]
  verbs: [create, patch]
- apiGroups: [""]
  resources: [services, configmaps]
  verbs: [get]
{{- end }}

{{- /* For jobDefaults.previousSuccessTime, where rbac.previousSuccess is set. */}}
{{- define "cronix-operator.successRule" -}}
- apiGroups: [""]
  resources: [configmaps]
  verbs: [create, update, delete]
{{- end }}

{{- define "cronix-operator.secretsRule" -}}
- apiGroups: [""]
  resources: [secrets]
  verbs: [get]
{{- end }}

{{- define "cronix-operator.subject" -}}
- kind: ServiceAccount
  name: {{ include "cronix-operator.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}

{{- /* Values that do not go together, told before anything is installed. */}}
{{- define "cronix-operator.check" -}}
{{- $election := .Values.leaderElection }}
{{- if and (gt (int .Values.replicaCount) 1) (not $election.enabled) }}
{{- fail (printf "replicaCount is %d, but leaderElection.enabled is false, so all of them would work at once: set leaderElection.enabled to true, or replicaCount to 1" (int .Values.replicaCount)) }}
{{- end }}
{{- if and .Values.podDisruptionBudget.enabled (le (int .Values.replicaCount) (int .Values.podDisruptionBudget.minAvailable)) }}
{{- fail (printf "podDisruptionBudget.minAvailable is %d and replicaCount is %d, so no node could be drained: raise replicaCount, or set podDisruptionBudget.enabled to false" (int .Values.podDisruptionBudget.minAvailable) (int .Values.replicaCount)) }}
{{- end }}
{{- if not (and (gt (int $election.leaseDurationSeconds) (int $election.renewDeadlineSeconds)) (gt (int $election.renewDeadlineSeconds) (int $election.retryPeriodSeconds))) }}
{{- fail "leaderElection.leaseDurationSeconds must be more than renewDeadlineSeconds, and that more than retryPeriodSeconds" }}
{{- end }}
{{- end }}
