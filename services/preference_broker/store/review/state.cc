#include "services/preference_broker/store/review/state.h"

namespace backflip::preference_broker {

absl::StatusOr<Standing> ReadStanding(Connection& connection,
                                      const std::vector<std::string>& charts) {
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<Standing> {
    Standing standing;
    for (const auto& row : t.Exec("SELECT state, count(*) FROM runs GROUP BY state"))
      standing.runs[Text(row[0])] = Int(row[1]);
    std::map<int64_t, RunStanding> runs;
    for (const auto& row : t.Exec(R"sql(
             SELECT r.id, r.steps, r.labels, u.labels AS unlearned, u.age,
               (SELECT coalesce(sum(q.open_slots), 0) FROM questions q
                WHERE q.run_id = r.id AND q.open_slots > 0 AND q.made_for IS NULL) AS open,
               (SELECT count(*) FROM leases l JOIN questions q ON q.id = l.question_id
                WHERE q.run_id = r.id AND l.state = 'LIVE') AS leases,
               coalesce(w.steps, 0) AS wanted_steps, coalesce(w.threads, 0) AS threads
             FROM (SELECT * FROM runs WHERE state IN ('QUEUED', 'RUNNING', 'PAUSED')
               ORDER BY id DESC LIMIT 100) r
             LEFT JOIN wanted_work w ON w.run_id = r.id
             CROSS JOIN LATERAL (SELECT count(*) AS labels,
                 coalesce(extract(epoch FROM now() - min(l.answered_at)), 0) AS age
               FROM labels l WHERE l.run_id = r.id AND l.counts AND l.position >
                 (SELECT coalesce(max(s.label_position), 0) FROM snapshot_sources s
                  WHERE s.run_id = r.id AND s.kind = 'REWARD')) u)sql")) {
      RunStanding& run = runs[Int(row["id"])];
      run.run_id = Int(row["id"]);
      run.steps = Int(row["steps"]);
      run.labels = Int(row["labels"]);
      run.open_answers = Int(row["open"]);
      run.live_leases = Int(row["leases"]);
      run.unlearned_labels = Int(row["unlearned"]);
      run.unlearned_seconds = Double(row["age"]);
      run.wanted_steps = Int(row["wanted_steps"]);
      run.worker_threads = Int(row["threads"]);
    }
    std::vector<int64_t> ids;
    for (const auto& [id, run] : runs) ids.push_back(id);
    for (const auto& row : t.Exec(
             "SELECT run_id, role, epoch, attempts FROM claims WHERE run_id = ANY ($1::bigint[])",
             ids)) {
      RunStanding& run = runs[Int(row[0])];
      run.claims[Text(row[1])] = Int(row[2]);
      run.attempts[Text(row[1])] = Int(row[3]);
    }
    for (const auto& row : t.Exec(R"sql(
             SELECT r.id, n.name, p.value FROM unnest($1::bigint[]) AS r(id)
             CROSS JOIN unnest($2::text[]) AS n(name)
             CROSS JOIN LATERAL (SELECT value FROM metric_points
               WHERE run_id = r.id AND name = n.name ORDER BY iteration DESC LIMIT 1) p)sql",
                                  ids, charts)) {
      runs[Int(row[0])].charts[Text(row[1])] = Double(row[2]);
    }
    for (auto& [id, run] : runs) standing.active.push_back(std::move(run));
    return standing;
  });
}

}  // namespace backflip::preference_broker
