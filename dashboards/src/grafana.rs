//! `deploy/grafana/*.json`: the dashboards as Grafana imports them.

use crate::model::{Dashboard, Panel};
use crate::promql::with_matcher;
use serde_json::{Value, json};

/// Of Grafana 10.
const SCHEMA: u32 = 39;
/// Grafana's grid is 24 wide.
const WIDTH: usize = 8;
const HEIGHT: usize = 8;
const IN_A_ROW: usize = 3;
/// What the choice of instances comes to in an expression.
const MATCHER: &str = "instance=~\"$instance\"";

/// One dashboard, as JSON.
pub fn write(dashboard: &Dashboard) -> String {
    let (mut panels, mut below) = (Vec::new(), 0);
    for row in dashboard.rows {
        panels.push(json!({
            "type": "row", "id": panels.len() + 1, "title": row.title, "collapsed": false, "panels": [],
            "gridPos": { "h": 1, "w": 24, "x": 0, "y": below },
        }));
        below += 1;
        for (at, panel) in row.panels.iter().enumerate() {
            let place = json!({
                "h": HEIGHT, "w": WIDTH, "x": at % IN_A_ROW * WIDTH, "y": below + at / IN_A_ROW * HEIGHT,
            });
            panels.push(graph(panel, panels.len() + 1, &place));
        }
        below += row.panels.len().div_ceil(IN_A_ROW) * HEIGHT;
    }
    let whole = json!({
        "uid": dashboard.uid,
        "title": dashboard.title,
        "tags": ["linkr"],
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": true,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": { "from": "now-1h", "to": "now" },
        "links": [{
            "type": "dashboards", "title": "linkr", "tags": ["linkr"], "asDropdown": false, "includeVars": true, "keepTime": true,
        }],
        "annotations": { "list": [{
            "name": "Alerts", "enable": true, "iconColor": "red", "datasource": datasource(),
            "expr": "ALERTS{alertname=~\"Linkr.*\",alertstate=\"firing\"}", "titleFormat": "{{alertname}}",
            "textFormat": "{{instance}}",
        }] },
        "templating": { "list": [
            { "type": "datasource", "name": "datasource", "label": "Prometheus", "query": "prometheus" },
            {
                "type": "query", "name": "instance", "label": "instance", "datasource": datasource(),
                "query": { "query": "label_values(up{job=~\"linkr.*\"}, instance)", "refId": "instance" },
                "refresh": 2, "sort": 1, "multi": true, "includeAll": true, "allValue": ".*",
                "current": { "text": "All", "value": "$__all" },
            },
        ] },
        "panels": panels,
    });
    format!("{whole:#}\n")
}

fn datasource() -> Value {
    json!({ "type": "prometheus", "uid": "${datasource}" })
}

fn graph(panel: &Panel, id: usize, place: &Value) -> Value {
    let targets = panel.queries.iter().zip('A'..).map(|(query, letter)| {
        json!({
            "refId": letter, "datasource": datasource(), "expr": with_matcher(query.expr, MATCHER),
            "legendFormat": query.legend, "exemplar": panel.exemplars,
        })
    });
    json!({
        "type": "timeseries",
        "id": id,
        "title": panel.title,
        "description": panel.about,
        "datasource": datasource(),
        "gridPos": place,
        "fieldConfig": {
            "defaults": { "unit": panel.unit.label(), "custom": { "lineWidth": 1, "fillOpacity": 5, "showPoints": "never" } },
            "overrides": [],
        },
        "options": {
            "legend": { "showLegend": true, "displayMode": "list", "placement": "bottom" },
            "tooltip": { "mode": "multi", "sort": "desc" },
        },
        "targets": targets.collect::<Vec<_>>(),
    })
}
