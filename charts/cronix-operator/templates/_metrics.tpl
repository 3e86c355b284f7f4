{{- /* One scraped endpoint of a ServiceMonitor or PodMonitor. `namespace` is a label of ours: without honorLabels it would be renamed. */}}
{{- define "cronix-operator.endpoint" -}}
- port: metrics
  honorLabels: true
  {{- with .interval }}
  interval: {{ . }}
  {{- end }}
  {{- with .scrapeTimeout }}
  scrapeTimeout: {{ . }}
  {{- end }}
  {{- with .relabelings }}
  relabelings:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .metricRelabelings }}
  metricRelabelings:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{- /* The chart's labels and those by which a Prometheus or Grafana finds the object; ours cannot be replaced. */}}
{{- define "cronix-operator.labelsWith" -}}
{{- toYaml (merge (include "cronix-operator.labels" .root | fromYaml) .labels) }}
{{- end }}
