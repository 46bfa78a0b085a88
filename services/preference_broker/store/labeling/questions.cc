#include "services/preference_broker/store/labeling/questions.h"

#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/options/run_spec.h"
#include "services/preference_broker/store/db/run_row.h"
#include "services/preference_broker/store/db/topics.h"
#include "services/preference_broker/store/runs/claims.h"

namespace backflip::preference_broker {
namespace {

// A round as it was opened.
v1::OpenQuestionsResponse OpenedRound(Transaction& t, int64_t run_id, int64_t round) {
  v1::OpenQuestionsResponse response;
  for (const auto& row : t.Exec(R"sql(
           SELECT q.id, q.ordinal, q.purpose, q.overlap,
             (SELECT string_agg(encode(c.sha256, 'hex'), ' ' ORDER BY p.position)
              FROM question_clips p JOIN clips c ON c.id = p.clip_id WHERE p.question_id = q.id)
           FROM questions q WHERE q.run_id = $1 AND q.round = $2 ORDER BY q.ordinal)sql",
                                run_id, round)) {
    v1::OpenedQuestion* question = response.add_questions();
    question->set_question_id(Int(row[0]));
    question->set_ordinal(Int(row[1]));
    question->set_purpose(Enum<v1::Purpose>(row[2]));
    question->set_overlap(Int(row[3]));
    const std::string ids = Text(row[4]);
    for (size_t at = 0; at < ids.size(); at += 65) question->add_clip_ids(ids.substr(at, 64));
  }
  return response;
}

// Rows of the clips that the questions name, locked. NOT_FOUND names one that is missing.
absl::StatusOr<std::map<std::string, int64_t>> LockClips(Transaction& t,
                                                         const v1::OpenQuestionsRequest& request) {
  std::map<std::string, int64_t> clips;
  std::vector<std::string> names;
  for (const v1::NewQuestion& question : request.questions()) {
    for (const std::string& id : question.clip_ids()) {
      if (clips.emplace(id, 0).second) names.push_back(id);
    }
  }
  for (const auto& row : t.Exec(R"sql(
           SELECT c.id, c.sha256 FROM unnest($2::text[]) AS u(hex)
           JOIN clips c ON c.run_id = $1 AND c.sha256 = decode(u.hex, 'hex')
           FOR KEY SHARE OF c)sql",
                                request.run_id(), names)) {
    clips[Hex(row[1])] = Int(row[0]);
  }
  for (const auto& [name, id] : clips) {
    if (id == 0) {
      return absl::NotFoundError(absl::StrCat("clip ", name, " is no stored candidate of run ",
                                              request.run_id(),
                                              ": it was never uploaded, or has left the pool"));
    }
  }
  return clips;
}

void InsertRound(Transaction& t, const v1::OpenQuestionsRequest& request) {
  t.Exec("INSERT INTO rounds (run_id, round, selector, ensemble_version) VALUES ($1, $2, $3, $4)",
         request.run_id(), request.round(), request.selector(), request.ensemble_version());
}

// The round's questions, numbered from `ordinal` on; answers wanted of each: its own
// `overlap`, or else the given one.
void InsertQuestions(Transaction& t, const v1::OpenQuestionsRequest& request,
                     const std::map<std::string, int64_t>& clips, int64_t ordinal,
                     int32_t overlap) {
  std::vector<int64_t> ordinals, shown_in, shown;
  std::vector<int32_t> overlaps, sizes, positions;
  std::vector<double> scores;
  std::vector<std::string> purposes, selectors;
  for (const v1::NewQuestion& question : request.questions()) {
    ordinals.push_back(ordinal);
    purposes.push_back(v1::Purpose_Name(question.purpose()));
    overlaps.push_back(question.overlap() > 0 ? question.overlap() : overlap);
    scores.push_back(question.score());
    selectors.push_back(question.selector());
    sizes.push_back(question.clip_ids_size());
    for (int i = 0; i < question.clip_ids_size(); ++i) {
      shown_in.push_back(ordinal);
      positions.push_back(i);
      shown.push_back(clips.at(question.clip_ids(i)));
    }
    ++ordinal;
  }
  t.Exec(R"sql(
      WITH opened AS (
        INSERT INTO questions (run_id, round, ordinal, purpose, overlap, open_slots, score, clips,
          selector)
        SELECT $1, $2, ordinal, purpose, overlap, overlap, score, clips, selector
        FROM unnest($3::bigint[], $4::text[], $5::integer[], $6::double precision[],
          $7::integer[], $8::text[]) AS u(ordinal, purpose, overlap, score, clips, selector)
        RETURNING id, ordinal)
      INSERT INTO question_clips (question_id, position, clip_id)
      SELECT o.id, s.position, s.clip FROM unnest($9::bigint[], $10::integer[], $11::bigint[])
        AS s(ordinal, position, clip) JOIN opened o USING (ordinal))sql",
         request.run_id(), request.round(), ordinals, purposes, overlaps, scores, sizes, selectors,
         shown_in, positions, shown);
}

}  // namespace

absl::StatusOr<v1::OpenQuestionsResponse> OpenQuestions(Connection& connection,
                                                        const Caller& caller,
                                                        const v1::OpenQuestionsRequest& request) {
  const int64_t run_id = request.run_id();
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<v1::OpenQuestionsResponse> {
    RETURN_IF_ERROR(CheckEpoch(t, run_id, caller.role, request.epoch()));
    // ordinals are given out under the run's lock
    const pqxx::row run = t.Exec(R"sql(
        SELECT questions, spec, asking_stopped,
          (SELECT coalesce(max(round), -1) FROM rounds WHERE run_id = $1) AS newest,
          EXISTS (SELECT FROM rounds WHERE run_id = $1 AND round = $2) AS opened
        FROM runs WHERE id = $1 FOR NO KEY UPDATE)sql",
                                 run_id, request.round())[0];
    if (Bool(run["opened"])) return OpenedRound(t, run_id, request.round());
    if (const int64_t newest = Int(run["newest"]); request.round() <= newest) {
      return absl::FailedPreconditionError(
          absl::StrCat("round ", request.round(), " comes too late: round ", newest, " of run ",
                       run_id, " is open already, and rounds are opened in order"));
    }
    v1::OpenQuestionsResponse response;
    if (Bool(run["asking_stopped"])) {
      // nobody is asked any more: the round has no questions, and is over at once
      InsertRound(t, request);
      response.set_opened(true);
      return response;
    }
    const v1::RunSpec spec = options::StoredSpec(Blob(run["spec"]));
    ASSIGN_OR_RETURN(const auto clips, LockClips(t, request));
    InsertRound(t, request);
    const int64_t ordinal = Int(run["questions"]);
    InsertQuestions(t, request, clips, ordinal, spec.queries().overlap());
    t.Exec("UPDATE runs SET questions = $2 WHERE id = $1", run_id,
           ordinal + request.questions_size());
    TouchRun(t, run_id);
    t.Signal(kQuestionsTopic);
    response = OpenedRound(t, run_id, request.round());
    response.set_opened(true);
    return response;
  });
}

}  // namespace backflip::preference_broker
