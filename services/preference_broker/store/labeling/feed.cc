#include "services/preference_broker/store/labeling/feed.h"

#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "common/base/status_macros.h"
#include "common/experience/answers.h"
#include "services/preference_broker/store/db/run_row.h"
#include "services/preference_broker/store/db/topics.h"
#include "services/preference_broker/store/labeling/answers.h"

namespace backflip::preference_broker {
namespace {

// Upper half of the key of the advisory locks under which feeds are numbered.
constexpr int64_t kFeedLock = int64_t{0x66656564} << 32;  // "feed"

FeedEntry EntryOf(const pqxx::row& row) {
  FeedEntry item;
  v1::LabelEntry& entry = item.entry;
  entry.set_position(Int(row["position"]));
  entry.set_label_id(Int(row["label"]));
  entry.set_question_id(Int(row["question"]));
  entry.set_ordinal(Int(row["ordinal"]));
  entry.set_round(Int(row["round"]));
  entry.set_purpose(Enum<v1::Purpose>(row["purpose"]));
  entry.set_labeler(Int(row["labeler"]));
  entry.set_surplus(Bool(row["surplus"]));
  if (!row["supersedes"].is_null()) entry.set_supersedes(Int(row["supersedes"]));
  entry.set_retraction(Bool(row["retraction"]));
  if (!entry.retraction()) {
    const v1::Answer shown = AnswerFromFields(row["choice"], row["ranking"]);
    *entry.mutable_answer() =
        Bool(row["turned"]) ? experience::Turned(shown, Int(row["clips"])) : shown;
  }
  entry.set_overlap(Int(row["overlap"]));
  // a gold pair is put in a question in its own order
  if (!row["expected"].is_null()) {
    entry.mutable_expected()->set_choice(Enum<v1::Choice>(row["expected"]));
  }
  for (const absl::string_view clip : absl::StrSplit(Text(row["clip_list"]), ',')) {
    const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(clip, ' ');
    int64_t id = 0;
    (void)absl::SimpleAtoi(parts.first, &id);
    item.clips.push_back(id);
    entry.add_clip_ids(std::string(parts.second));
  }
  return item;
}

}  // namespace

absl::Status NumberLabels(Connection& connection, int64_t run_id) {
  return connection.Transact([&](Transaction& t) -> absl::Status {
    t.Exec("SELECT pg_advisory_xact_lock($1)", kFeedLock | run_id);
    // under the lock, whatever has committed is seen by the statement below
    const pqxx::row numbered = t.Exec(R"sql(
        WITH fresh AS (SELECT id,
              (SELECT coalesce(max(position), 0) FROM labels WHERE run_id = $1)
                + row_number() OVER (ORDER BY id) AS place
            FROM labels WHERE run_id = $1 AND position IS NULL),
          numbered AS (UPDATE labels l SET position = fresh.place FROM fresh
            WHERE l.id = fresh.id RETURNING l.counts, l.supersedes, l.position)
        SELECT count(*) AS labels,
          coalesce(sum(n.counts::integer - coalesce(o.counts, false)::integer), 0) AS counted,
          coalesce(min(n.position), 0) AS first
        FROM numbered n LEFT JOIN labels o ON o.id = n.supersedes)sql",
                                      run_id)[0];
    if (Int(numbered["labels"]) == 0) return absl::OkStatus();
    // Labelers of the labels that were numbered just now, not of all without a labeler's
    // number: others may have been committed since, and would get one before their labels
    // are in the feed.
    t.Exec(R"sql(
        INSERT INTO run_labelers (run_id, caller_id, number)
        SELECT $1, f.caller_id,
          (SELECT coalesce(max(number), 0) FROM run_labelers WHERE run_id = $1)
            + row_number() OVER (ORDER BY f.first)
        FROM (SELECT l.caller_id, min(l.id) AS first FROM labels l
          WHERE l.run_id = $1 AND l.position >= $2 AND NOT EXISTS (SELECT FROM run_labelers n
            WHERE n.run_id = $1 AND n.caller_id = l.caller_id)
          GROUP BY l.caller_id) f)sql",
           run_id, Int(numbered["first"]));
    t.Exec("UPDATE runs SET labels = labels + $2 WHERE id = $1", run_id, Int(numbered["counted"]));
    TouchRun(t, run_id);
    t.Signal(FeedTopic(run_id));
    return absl::OkStatus();
  });
}

absl::StatusOr<std::vector<int64_t>> RunsWithUnnumberedLabels(Connection& connection) {
  return connection.Transact([](Transaction& t) -> absl::StatusOr<std::vector<int64_t>> {
    return Ints(t.Exec("SELECT DISTINCT run_id FROM labels WHERE position IS NULL"));
  });
}

absl::StatusOr<std::vector<FeedEntry>> ReadFeed(Connection& connection, int64_t run_id,
                                                int64_t from_position, int32_t limit) {
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<std::vector<FeedEntry>> {
    RETURN_IF_ERROR(CheckRunExists(t, run_id));
    std::vector<FeedEntry> entries;
    for (const auto& row : t.Exec(R"sql(
             SELECT l.position, l.id AS label, q.id AS question, coalesce(q.ordinal, -1) AS ordinal,
               coalesce(q.round, -1) AS round, q.purpose, l.choice, l.ranking,
               n.number AS labeler, l.surplus,
               CASE WHEN NOT o.retraction THEN o.id END AS supersedes, l.retraction, s.turned,
               q.clips, q.overlap, g.answer AS expected,
               (SELECT string_agg(c.id || ' ' || encode(c.sha256, 'hex'), ',' ORDER BY p.position)
                FROM question_clips p JOIN clips c ON c.id = p.clip_id
                WHERE p.question_id = q.id) AS clip_list
             FROM labels l JOIN questions q ON q.id = l.question_id
             JOIN leases s ON s.id = l.lease_id
             JOIN run_labelers n ON n.run_id = l.run_id AND n.caller_id = l.caller_id
             LEFT JOIN labels o ON o.id = l.supersedes
             LEFT JOIN gold_pairs g ON g.id = q.gold_id
             WHERE l.run_id = $1 AND l.position >= $2 AND l.position < $2 + $3
             ORDER BY l.position)sql",
                                  run_id, from_position, limit)) {
      entries.push_back(EntryOf(row));
    }
    return entries;
  });
}

}  // namespace backflip::preference_broker
