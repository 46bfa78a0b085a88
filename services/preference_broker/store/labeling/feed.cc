#include "services/preference_broker/store/labeling/feed.h"

#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "common/base/status_macros.h"
#include "services/preference_broker/store/db/run_row.h"
#include "services/preference_broker/store/db/topics.h"
#include "services/preference_broker/store/labeling/answers.h"

namespace backflip::preference_broker {
namespace {

// First key of the advisory locks under which feeds are numbered.
constexpr int64_t kFeedLock = int64_t{0x66656564} << 32;  // "feed"

}  // namespace

absl::Status NumberLabels(Connection& connection, int64_t run_id) {
  return connection.Transact([&](Transaction& t) -> absl::Status {
    t.Exec("SELECT pg_advisory_xact_lock($1)", kFeedLock | run_id);
    // under the lock, whatever has committed is seen by the statement below
    const pqxx::result counted = t.Exec(
        "WITH fresh AS (SELECT id, (SELECT coalesce(max(position), 0) FROM labels WHERE run_id = "
        "$1) "
        "      + row_number() OVER (ORDER BY id) AS place "
        "    FROM labels WHERE run_id = $1 AND position IS NULL), "
        "  numbered AS (UPDATE labels l SET position = fresh.place FROM fresh WHERE l.id = "
        "fresh.id "
        "    RETURNING l.counts, l.supersedes, l.position) "
        "SELECT count(*), coalesce(sum(n.counts::integer - coalesce(o.counts, false)::integer), "
        "0), "
        "  coalesce(min(n.position), 0) "
        "FROM numbered n LEFT JOIN labels o ON o.id = n.supersedes",
        run_id);
    if (Int(counted[0][0]) == 0) return absl::OkStatus();
    // Of those that were numbered, not of those without a number before: more may
    // have been committed in between, and would be in the feed without a labeler.
    t.Exec(
        "INSERT INTO run_labelers (run_id, caller_id, number) "
        "SELECT $1, f.caller_id, (SELECT coalesce(max(number), 0) FROM run_labelers WHERE run_id = "
        "$1) "
        "    + row_number() OVER (ORDER BY f.first) "
        "FROM (SELECT l.caller_id, min(l.id) AS first FROM labels l WHERE l.run_id = $1 AND "
        "l.position >= $2 "
        "  AND NOT EXISTS (SELECT FROM run_labelers n WHERE n.run_id = $1 AND n.caller_id = "
        "l.caller_id) "
        "  GROUP BY l.caller_id) f",
        run_id, Int(counted[0][2]));
    t.Exec("UPDATE runs SET labels = labels + $2 WHERE id = $1", run_id, Int(counted[0][1]));
    TouchRun(t, run_id);
    t.Signal(FeedTopic(run_id));
    return absl::OkStatus();
  });
}

absl::StatusOr<std::vector<int64_t>> RunsWithUnnumberedLabels(Connection& connection) {
  return connection.Transact([](Transaction& t) -> absl::StatusOr<std::vector<int64_t>> {
    std::vector<int64_t> runs;
    for (const auto& row : t.Exec("SELECT DISTINCT run_id FROM labels WHERE position IS NULL")) {
      runs.push_back(Int(row[0]));
    }
    return runs;
  });
}

absl::StatusOr<std::vector<FeedEntry>> ReadFeed(Connection& connection, int64_t run_id,
                                                int64_t from_position, int32_t limit) {
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<std::vector<FeedEntry>> {
    RETURN_IF_ERROR(CheckRunExists(t, run_id));
    std::vector<FeedEntry> entries;
    for (const auto& row : t.Exec(
             "SELECT l.position, l.id, q.id, coalesce(q.ordinal, -1), coalesce(q.round, -1), "
             "q.purpose, l.choice, "
             "  l.ranking, n.number, l.surplus, CASE WHEN NOT o.retraction THEN o.id END, "
             "l.retraction, s.turned, "
             "  q.clips, q.overlap, g.answer, (SELECT string_agg(c.id || ' ' || encode(c.sha256, "
             "'hex'), ',' "
             "    ORDER BY p.position) FROM question_clips p JOIN clips c ON c.id = p.clip_id "
             "    WHERE p.question_id = q.id) "
             "FROM labels l JOIN questions q ON q.id = l.question_id JOIN leases s ON s.id = "
             "l.lease_id "
             "JOIN run_labelers n ON n.run_id = l.run_id AND n.caller_id = l.caller_id "
             "LEFT JOIN labels o ON o.id = l.supersedes LEFT JOIN gold_pairs g ON g.id = q.gold_id "
             "WHERE l.run_id = $1 AND l.position >= $2 AND l.position < $2 + $3 ORDER BY "
             "l.position",
             run_id, from_position, limit)) {
      FeedEntry& item = entries.emplace_back();
      v1::LabelEntry& entry = item.entry;
      entry.set_position(Int(row[0]));
      entry.set_label_id(Int(row[1]));
      entry.set_question_id(Int(row[2]));
      entry.set_ordinal(Int(row[3]));
      entry.set_round(Int(row[4]));
      entry.set_purpose(PurposeFromField(row[5]));
      entry.set_labeler(Int(row[8]));
      entry.set_surplus(Bool(row[9]));
      if (!row[10].is_null()) entry.set_supersedes(Int(row[10]));
      entry.set_retraction(Bool(row[11]));
      if (!entry.retraction()) {
        const v1::Answer shown = AnswerFromFields(row[6], row[7]);
        *entry.mutable_answer() = Bool(row[12]) ? Turned(shown, Int(row[13])) : shown;
      }
      entry.set_overlap(Int(row[14]));
      // a gold pair is put in a question in its own order
      if (!row[15].is_null()) entry.mutable_expected()->set_choice(ChoiceFromField(row[15]));
      for (const absl::string_view clip : absl::StrSplit(Text(row[16]), ',')) {
        const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(clip, ' ');
        int64_t id = 0;
        (void)absl::SimpleAtoi(parts.first, &id);
        item.clips.push_back(id);
        entry.add_clip_ids(std::string(parts.second));
      }
    }
    return entries;
  });
}

}  // namespace backflip::preference_broker
