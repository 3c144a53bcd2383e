"""What a pod's spec means, shared by Pod and by every kind that holds a pod template.

`defaults` fills in what was left out, `spec` checks a whole PodSpec and sends each part to the
module that knows it (`containers`, `volumes`, `probes`, `security`, ...), `template` does the same
for templates, `update` says what a running pod may still change, `table` makes kubectl's columns.
"""
