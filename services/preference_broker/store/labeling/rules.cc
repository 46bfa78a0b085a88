#include "services/preference_broker/store/labeling/rules.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "services/preference_broker/store/db/run_row.h"
#include "services/preference_broker/store/people/callers.h"

namespace backflip::preference_broker {
namespace {

// A score over fewer gold pairs says little.
constexpr int64_t kGoldPairs = 8;
// Gold pairs after a warning before they are looked at again.
constexpr int64_t kGoldPairsAfterWarning = 3;
// Answers that are looked at for a rule over answers in a row, in terms of its own number.
constexpr int32_t kWindows = 3;

// One of a labeler's answers.
struct GivenAnswer {
  v1::Choice choice = v1::CHOICE_UNSPECIFIED;
  bool fast = false;

  bool Compares() const { return choice != v1::CANNOT_TELL && choice != v1::BROKEN; }
};

// The labeler's newest answers in the run, newest first, as many as the rules look at.
std::vector<GivenAnswer> NewestAnswers(Transaction& t, const LabelingConfig& run,
                                       int64_t caller_id) {
  const v1::Quality& quality = run.quality;
  // of fast ones more than the rule forbids: a pace shows over several leases only
  const int64_t most = std::max({kWindows * quality.max_fast_answers(),
                                 kWindows * quality.max_cannot_tells(), quality.max_one_sided()});
  std::vector<GivenAnswer> answers;
  if (most == 0) return answers;
  const pqxx::result rows = t.Exec(R"sql(
      SELECT l.choice, l.decision_ms, extract(epoch FROM s.leased_at)::double precision * 1000,
        extract(epoch FROM l.answered_at)::double precision * 1000
      FROM standing_labels l JOIN leases s ON s.id = l.lease_id
      JOIN questions q ON q.id = l.question_id
      WHERE l.caller_id = $1 AND l.run_id = $2 AND q.purpose <> 'QUALIFICATION'
        AND l.answered_at > (SELECT coalesce(rules_since, '-infinity') FROM callers WHERE id = $1)
      ORDER BY l.id DESC LIMIT $3)sql",
                                   caller_id, run.id, most);
  answers.resize(rows.size());
  const double clip_ms = ClipMillis(run.task);
  Pace pace;
  for (int i = static_cast<int>(rows.size()) - 1; i >= 0; --i) {
    answers[i].choice = Enum<v1::Choice>(rows[i][0]);
    answers[i].fast =
        pace.IsFast(Double(rows[i][2]), Double(rows[i][3]), Double(rows[i][1]), clip_ms);
  }
  return answers;
}

// What the labeler's newest answers did that a rule over such answers forbids; empty: nothing.
std::string BrokenStreakRule(Transaction& t, const LabelingConfig& run, int64_t caller_id) {
  const v1::Quality& quality = run.quality;
  const std::vector<GivenAnswer> answers = NewestAnswers(t, run, caller_id);
  // Whether the newest answers all fit, as many as the rule forbids (0: no rule).
  const auto broken = [&](size_t forbidden, auto fits) {
    return forbidden > 0 && answers.size() >= forbidden &&
           std::all_of(answers.begin(), answers.begin() + forbidden, fits);
  };
  if (broken(quality.max_fast_answers(), [](const GivenAnswer& one) { return one.fast; })) {
    return absl::StrCat(quality.max_fast_answers(),
                        " answers in a row came faster than a clip takes");
  }
  const auto tells_nothing = [](const GivenAnswer& one) { return !one.Compares(); };
  if (broken(quality.max_cannot_tells(), tells_nothing)) {
    return absl::StrCat(quality.max_cannot_tells(), " answers in a row were cannot tell or broken");
  }
  const size_t window = std::min<size_t>(answers.size(), kWindows * quality.max_cannot_tells());
  const int64_t nothing = std::count_if(answers.begin(), answers.begin() + window, tells_nothing);
  if (quality.max_cannot_tells() > 0 && nothing >= 2 * quality.max_cannot_tells()) {
    return absl::StrCat(nothing, " of ", window, " answers were cannot tell or broken");
  }
  for (const v1::Choice side : {v1::LEFT, v1::RIGHT}) {
    if (broken(quality.max_one_sided(),
               [&](const GivenAnswer& one) { return one.choice == side; })) {
      return absl::StrCat(quality.max_one_sided(), " answers in a row chose the ",
                          side == v1::LEFT ? "left" : "right", " side");
    }
  }
  return "";
}

// The same for the rule over gold pairs.
std::string BrokenGoldRule(Transaction& t, const LabelingConfig& run, int64_t caller_id) {
  if (run.quality.min_gold_score() == 0) return "";
  const pqxx::row gold = t.Exec(R"sql(
      SELECT count(*), count(*) FILTER (WHERE right_one), count(*) FILTER (WHERE fresh) FROM (
        SELECT l.choice = turned_choice(g.answer, s.turned) AS right_one,
          l.answered_at > coalesce((SELECT rules_since FROM callers WHERE id = $1), '-infinity')
            AS fresh
        FROM questions q JOIN gold_pairs g ON g.id = q.gold_id
        JOIN leases s ON s.question_id = q.id AND s.caller_id = $1 AND s.state = 'ANSWERED'
        JOIN standing_labels l ON l.lease_id = s.id
        WHERE q.made_for = $1 AND q.run_id = $2 AND q.purpose = 'GOLD'
        ORDER BY l.id DESC LIMIT 30) newest)sql",
                                caller_id, run.id)[0];
  const int64_t asked = Int(gold[0]), right = Int(gold[1]), fresh = Int(gold[2]);
  if (asked < kGoldPairs || fresh < kGoldPairsAfterWarning ||
      right >= run.quality.min_gold_score() * asked) {
    return "";
  }
  // how many, but not which: labelers are told no more than that some pairs were known
  return absl::StrCat("only ", 100 * right / asked, " % of the answers that are known were right");
}

}  // namespace

double ClipMillis(const v1::TaskInfo& task) {
  return task.playback_fps() > 0 ? 1000 * task.clip_steps() / task.playback_fps()
                                 : 1000 * task.clip_steps() * task.step_seconds();
}

absl::Status EnforceRules(Connection& connection, RunCache& runs, int64_t caller_id,
                          int64_t run_id) {
  return connection.Transact([&](Transaction& t) -> absl::Status {
    ASSIGN_OR_RETURN(const auto run, runs.Get(t, run_id));
    // one call at a time for a labeler
    const pqxx::row caller =
        t.Exec("SELECT state, warned_at IS NOT NULL FROM callers WHERE id = $1 FOR NO KEY UPDATE",
               caller_id)[0];
    if (Text(caller[0]) != "ACTIVE") return absl::OkStatus();
    bool warned = Bool(caller[1]);
    if (warned) {
      const int64_t since = Int(
          t.Exec("SELECT count(*) FROM (SELECT FROM labels WHERE caller_id = $1 AND NOT retraction "
                 "AND answered_at > (SELECT warned_at FROM callers WHERE id = $1) LIMIT $2) l",
                 caller_id, run->quality.rule_window() + 1)[0][0]);
      if (since > run->quality.rule_window()) {
        t.Exec("UPDATE callers SET warned_at = NULL, reason = '' WHERE id = $1", caller_id);
        warned = false;
      }
    }
    std::string broken = BrokenStreakRule(t, *run, caller_id);
    if (broken.empty()) broken = BrokenGoldRule(t, *run, caller_id);
    if (broken.empty()) return absl::OkStatus();
    const std::string reason = warned ? absl::StrCat("You are paused, since ", broken,
                                                     ", after a warning. Write to who invited you.")
                                      : absl::StrCat("Please take your time: ", broken,
                                                     ". If that goes on, you will be paused.");
    t.Exec(R"sql(
        UPDATE callers SET state = $2, reason = $3, rules_since = now(),
          warned_at = CASE WHEN $4::boolean THEN NULL ELSE now() END WHERE id = $1)sql",
           caller_id, warned ? "PAUSED" : "ACTIVE", reason, warned);
    if (warned) EndLeases(t, caller_id);
    Audit(t, caller_id, run_id, warned ? "paused by a rule" : "warned by a rule", broken);
    TouchRun(t, run_id);
    return absl::OkStatus();
  });
}

}  // namespace backflip::preference_broker
