#include "services/preference_broker/store/labels/export.h"

#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status_macros.h"
#include "services/preference_broker/store/db/run_row.h"
#include "services/preference_broker/store/labeling/answers.h"

namespace backflip::preference_broker {
namespace {

// Clips in the order in which they were shown; a gold pair's right answer, and
// whether the sides showed it as it was given.
#define EXPORTED_LABELS                                                                            \
  "SELECT coalesce(l.position, 0), l.id, q.id, q.purpose, s.turned, "                              \
  "  (SELECT string_agg(encode(k.sha256, 'hex'), ' ' "                                             \
  "     ORDER BY CASE WHEN s.turned THEN -p.position ELSE p.position END) "                        \
  "   FROM question_clips p JOIN clips k ON k.id = p.clip_id WHERE p.question_id = q.id), "        \
  "  l.choice, l.ranking, c.name, extract(epoch FROM l.answered_at), l.decision_ms, l.active_ms, " \
  "l.loops, "                                                                                      \
  "  l.first_played_ms, l.client, l.surplus, coalesce(d.selector, q.selector), q.score, "          \
  "  coalesce(d.ensemble_version, 0), coalesce(q.round, -1), extract(epoch FROM s.leased_at), "    \
  "  (SELECT count(*) FROM labels o WHERE o.lease_id = l.lease_id AND o.id < l.id AND NOT "        \
  "o.retraction), l.note, "                                                                        \
  "  g.answer, (g.first_clip = f.clip_id) <> s.turned "                                            \
  "FROM labels l JOIN questions q ON q.id = l.question_id JOIN leases s ON s.id = l.lease_id "     \
  "JOIN callers c ON c.id = l.caller_id LEFT JOIN rounds d ON d.run_id = q.run_id AND d.round = "  \
  "q.round "                                                                                       \
  "LEFT JOIN gold_pairs g ON g.id = q.gold_id "                                                    \
  "LEFT JOIN question_clips f ON f.question_id = q.id AND f.position = 0 "

v1::ExportedLabel ExportedLabelOf(const pqxx::row& row) {
  v1::ExportedLabel label;
  label.set_position(Int(row[0]));
  label.set_label_id(Int(row[1]));
  label.set_question_id(Int(row[2]));
  label.set_purpose(PurposeFromField(row[3]));
  label.set_turned(Bool(row[4]));
  for (const absl::string_view id : absl::StrSplit(Text(row[5]), ' '))
    label.add_clip_ids(std::string(id));
  *label.mutable_answer() = AnswerFromFields(row[6], row[7]);
  label.set_labeler(Text(row[8]));
  label.set_answered_ms(Millis(row[9]));
  label.mutable_timing()->set_decision_ms(Int(row[10]));
  label.mutable_timing()->set_active_ms(Int(row[11]));
  label.mutable_timing()->set_loops(Int(row[12]));
  label.mutable_timing()->set_first_played_ms(Int(row[13]));
  label.set_client(Text(row[14]));
  label.set_surplus(Bool(row[15]));
  label.set_selector(Text(row[16]));
  label.set_score(Double(row[17]));
  label.set_ensemble_version(Int(row[18]));
  label.set_round(Int(row[19]));
  label.set_issued_ms(Millis(row[20]));
  label.set_undo_count(Int(row[21]));
  label.set_note(Text(row[22]));
  if (!row[23].is_null()) {
    const v1::Choice right = ChoiceFromField(row[23]);
    label.mutable_expected()->set_choice(Bool(row[24]) ? right : Turned(right));
  }
  label.set_schema(kExportSchema);
  return label;
}

}  // namespace

absl::StatusOr<std::vector<v1::ExportedLabel>> ReadStandingLabels(Connection& connection,
                                                                  int64_t run_id,
                                                                  int64_t from_position,
                                                                  int32_t limit) {
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<std::vector<v1::ExportedLabel>> {
    RETURN_IF_ERROR(CheckRunExists(t, run_id));
    std::vector<v1::ExportedLabel> labels;
    for (const auto& row :
         t.Exec(EXPORTED_LABELS "WHERE l.run_id = $1 AND l.position >= $2 AND NOT l.retraction "
                                "  AND NOT EXISTS (SELECT FROM labels n WHERE n.supersedes = l.id) "
                                "ORDER BY l.position LIMIT $3",
                run_id, from_position, limit)) {
      labels.push_back(ExportedLabelOf(row));
    }
    return labels;
  });
}

absl::StatusOr<v1::ListLabelsResponse> ListLabels(Connection& connection,
                                                  const v1::ListLabelsRequest& request) {
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<v1::ListLabelsResponse> {
    const int64_t run_id = request.run_id();
    RETURN_IF_ERROR(CheckRunExists(t, run_id));
    std::optional<int64_t> labeler, question;
    if (!request.labeler().empty()) {
      const pqxx::result callers =
          t.Exec("SELECT id FROM callers WHERE name = $1", request.labeler());
      if (callers.empty()) {
        return absl::NotFoundError(absl::StrCat("there is no labeler '", request.labeler(), "'"));
      }
      labeler = Int(callers[0][0]);
    }
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
    for (const auto& row : t.Exec(
             EXPORTED_LABELS
             "WHERE l.run_id = $1 AND NOT l.retraction AND ($2::bigint IS NULL OR l.caller_id = "
             "$2) "
             "  AND ($3::bigint IS NULL OR l.question_id = $3) AND ($4::text IS NULL OR q.purpose "
             "= $4) "
             "  AND ($5::text IS NULL OR l.choice = $5) AND (NOT $6::boolean OR l.note <> '') "
             "  AND ($7::boolean OR NOT EXISTS (SELECT FROM labels n WHERE n.supersedes = l.id)) "
             "  AND ($8::bigint = 0 OR l.id < $8) "
             "ORDER BY l.id DESC LIMIT $9",
             run_id, labeler, question, purpose, choice, request.with_note(), request.superseded(),
             request.before_label_id(), limit + 1)) {
      if (response.labels_size() == limit) {
        response.set_more(true);
        break;
      }
      *response.add_labels() = ExportedLabelOf(row);
    }
    return response;
  });
}

#undef EXPORTED_LABELS

}  // namespace backflip::preference_broker
