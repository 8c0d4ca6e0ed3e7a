//! The rules as promtool reads them, and each alert with series that raise it and with series that do not.

use std::process::Command;

#[test]
fn promtool_takes_the_rules_and_each_alert_fires_with_its_series_alone() {
    let dir = std::env::temp_dir().join(format!("linkr-rules-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("alerts.yml"), dashboards::rules(dashboards::Pace::REAL)).unwrap();
    std::fs::write(dir.join("fast.yml"), dashboards::rules(dashboards::Pace::times(60))).unwrap();
    std::fs::write(dir.join("tests.yml"), dashboards::unit_tests("alerts.yml")).unwrap();
    for words in
        [["check", "rules", "alerts.yml"], ["check", "rules", "fast.yml"], ["test", "rules", "tests.yml"]]
    {
        let done = match Command::new("promtool").args(words).current_dir(&dir).output() {
            Ok(done) => done,
            Err(fault) => {
                eprintln!("SKIPPED promtool: {fault}");
                break;
            }
        };
        let said = [done.stdout, done.stderr].concat();
        assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&said));
    }
    std::fs::remove_dir_all(&dir).unwrap();
}
