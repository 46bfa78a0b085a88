#include "services/preference_broker/store/labels/export.h"

#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status_macros.h"
#include "common/experience/answers.h"
#include "services/preference_broker/store/db/run_row.h"
#include "services/preference_broker/store/labeling/answers.h"

namespace backflip::preference_broker {
namespace {

// `clip_ids` in the order in which they were shown; `expected` is a gold pair's right answer,
// `as_given` whether its sides were shown in the pair's own order.
constexpr char kExportedLabels[] = R"sql(
SELECT coalesce(l.position, 0) AS position, l.id AS label, q.id AS question, q.purpose, s.turned,
  (SELECT string_agg(encode(k.sha256, 'hex'), ' '
      ORDER BY CASE WHEN s.turned THEN -p.position ELSE p.position END)
   FROM question_clips p JOIN clips k ON k.id = p.clip_id WHERE p.question_id = q.id) AS clip_ids,
  l.choice, l.ranking, c.name, extract(epoch FROM l.answered_at) AS answered, l.decision_ms,
  l.active_ms, l.loops, l.first_played_ms, l.client, l.surplus,
  coalesce(nullif(q.selector, ''), d.selector, '') AS selector, q.score,
  coalesce(d.ensemble_version, 0) AS ensemble_version, coalesce(q.round, -1) AS round,
  extract(epoch FROM s.leased_at) AS issued,
  (SELECT count(*) FROM labels o
   WHERE o.lease_id = l.lease_id AND o.id < l.id AND NOT o.retraction) AS undo_count,
  l.note, g.answer AS expected, (g.first_clip = f.clip_id) <> s.turned AS as_given
FROM labels l JOIN questions q ON q.id = l.question_id JOIN leases s ON s.id = l.lease_id
JOIN callers c ON c.id = l.caller_id
LEFT JOIN rounds d ON d.run_id = q.run_id AND d.round = q.round
LEFT JOIN gold_pairs g ON g.id = q.gold_id
LEFT JOIN question_clips f ON f.question_id = q.id AND f.position = 0
)sql";

v1::ExportedLabel ExportedLabelOf(const pqxx::row& row) {
  v1::ExportedLabel label;
  label.set_position(Int(row["position"]));
  label.set_label_id(Int(row["label"]));
  label.set_question_id(Int(row["question"]));
  label.set_purpose(Enum<v1::Purpose>(row["purpose"]));
  label.set_turned(Bool(row["turned"]));
  for (const absl::string_view id : absl::StrSplit(Text(row["clip_ids"]), ' '))
    label.add_clip_ids(std::string(id));
  *label.mutable_answer() = AnswerFromFields(row["choice"], row["ranking"]);
  label.set_labeler(Text(row["name"]));
  label.set_answered_ms(Millis(row["answered"]));
  label.mutable_timing()->set_decision_ms(Int(row["decision_ms"]));
  label.mutable_timing()->set_active_ms(Int(row["active_ms"]));
  label.mutable_timing()->set_loops(Int(row["loops"]));
  label.mutable_timing()->set_first_played_ms(Int(row["first_played_ms"]));
  label.set_client(Text(row["client"]));
  label.set_surplus(Bool(row["surplus"]));
  label.set_selector(Text(row["selector"]));
  label.set_score(Double(row["score"]));
  label.set_ensemble_version(Int(row["ensemble_version"]));
  label.set_round(Int(row["round"]));
  label.set_issued_ms(Millis(row["issued"]));
  label.set_undo_count(Int(row["undo_count"]));
  label.set_note(Text(row["note"]));
  if (!row["expected"].is_null()) {
    const v1::Choice right = Enum<v1::Choice>(row["expected"]);
    label.mutable_expected()->set_choice(Bool(row["as_given"]) ? right : experience::Turned(right));
  }
  label.set_schema(kExportSchema);
  return label;
}

// The row of the labeler that the request asks for; nullopt: it asks for all. NOT_FOUND: there
// is none of that name.
absl::StatusOr<std::optional<int64_t>> AskedLabeler(Transaction& t,
                                                    const v1::ListLabelsRequest& request) {
  if (request.labeler().empty()) return std::nullopt;
  const pqxx::result rows = t.Exec("SELECT id FROM callers WHERE name = $1", request.labeler());
  if (!rows.empty()) return Int(rows[0][0]);
  return absl::NotFoundError(absl::StrCat("there is no labeler '", request.labeler(), "'"));
}

}  // namespace

absl::StatusOr<std::vector<v1::ExportedLabel>> ReadStandingLabels(Connection& connection,
                                                                  int64_t run_id,
                                                                  int64_t from_position,
                                                                  int32_t limit) {
  static const std::string* const sql = new std::string(absl::StrCat(kExportedLabels, R"sql(
      WHERE l.run_id = $1 AND l.position >= $2 AND NOT l.retraction
        AND NOT EXISTS (SELECT FROM labels n WHERE n.supersedes = l.id)
      ORDER BY l.position LIMIT $3)sql"));
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<std::vector<v1::ExportedLabel>> {
    RETURN_IF_ERROR(CheckRunExists(t, run_id));
    std::vector<v1::ExportedLabel> labels;
    for (const auto& row : t.Exec(sql->c_str(), run_id, from_position, limit)) {
      labels.push_back(ExportedLabelOf(row));
    }
    return labels;
  });
}

absl::StatusOr<v1::ListLabelsResponse> ListLabels(Connection& connection,
                                                  const v1::ListLabelsRequest& request) {
  static const std::string* const sql = new std::string(absl::StrCat(kExportedLabels, R"sql(
      WHERE l.run_id = $1 AND NOT l.retraction AND ($2::bigint IS NULL OR l.caller_id = $2)
        AND ($3::bigint IS NULL OR l.question_id = $3) AND ($4::text IS NULL OR q.purpose = $4)
        AND ($5::text IS NULL OR l.choice = $5) AND (NOT $6::boolean OR l.note <> '')
        AND ($7::boolean OR NOT EXISTS (SELECT FROM labels n WHERE n.supersedes = l.id))
        AND ($8::bigint = 0 OR l.id < $8)
      ORDER BY l.id DESC LIMIT $9)sql"));
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<v1::ListLabelsResponse> {
    const int64_t run_id = request.run_id();
    RETURN_IF_ERROR(CheckRunExists(t, run_id));
    ASSIGN_OR_RETURN(const std::optional<int64_t> labeler, AskedLabeler(t, request));
    std::optional<int64_t> question;
    if (request.question_id() != 0) {
      question = request.question_id();
      if (t.Exec("SELECT FROM questions WHERE id = $1 AND run_id = $2", *question, run_id)
              .empty()) {
        return absl::NotFoundError(absl::StrCat("run ", run_id, " has no question ", *question));
      }
    }
    std::optional<std::string> purpose, choice;
    if (request.purpose() != v1::PURPOSE_UNSPECIFIED) purpose = v1::Purpose_Name(request.purpose());
    if (request.choice() != v1::CHOICE_UNSPECIFIED) choice = v1::Choice_Name(request.choice());
    const int32_t limit = request.limit() == 0 ? 50 : request.limit();
    v1::ListLabelsResponse response;
    for (const auto& row :
         t.Exec(sql->c_str(), run_id, labeler, question, purpose, choice, request.with_note(),
                request.superseded(), request.before_label_id(), limit + 1)) {
      if (response.labels_size() == limit) {
        response.set_more(true);
        break;
      }
      *response.add_labels() = ExportedLabelOf(row);
    }
    return response;
  });
}

}  // namespace backflip::preference_broker
