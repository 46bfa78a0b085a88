#include "services/preference_broker/store/labels/import.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/base/random.h"
#include "common/base/status_macros.h"
#include "common/experience/answers.h"
#include "common/options/run_spec.h"
#include "services/preference_broker/store/db/requests.h"
#include "services/preference_broker/store/db/run_row.h"
#include "services/preference_broker/store/labeling/answers.h"
#include "services/preference_broker/store/runs/clips.h"

namespace backflip::preference_broker {
namespace {

// Duration of an imported answer's lease, which nobody ever held.
constexpr int32_t kLeaseMs = 1;
// Most answers to one question.
constexpr size_t kMostAnswers = 100;

using RowsByClipId = std::map<std::string, int64_t>;

// Adds the run's clips with these keys to `rows`.
void FindClips(Transaction& t, int64_t run_id, const std::vector<std::string>& keys,
               RowsByClipId* rows) {
  for (const auto& row : t.Exec(R"sql(
           SELECT k.sha256, k.id FROM unnest($2::text[]) AS u(hex)
           JOIN clips k ON k.run_id = $1 AND k.sha256 = decode(u.hex, 'hex')
           FOR KEY SHARE OF k)sql",
                                run_id, keys)) {
    (*rows)[Hex(row[0])] = Int(row[1]);
  }
}

// Stores the clips that the run does not have. Returns the rows of all that labels name, by
// the names that they give them, and counts the new ones.
RowsByClipId StoreNewClips(Transaction& t, int64_t run_id, const std::vector<v1::Candidate>& clips,
                           const std::vector<v1::ImportedLabel>& labels,
                           v1::ImportLabelsResponse* response) {
  std::vector<std::string> keys;
  for (const v1::Candidate& clip : clips) keys.push_back(clip.clip_id());
  for (const v1::ImportedLabel& label : labels) {
    keys.insert(keys.end(), label.clip_ids().begin(), label.clip_ids().end());
  }
  RowsByClipId rows;
  FindClips(t, run_id, keys, &rows);
  for (const v1::Candidate& clip : clips) {
    if (rows.count(clip.clip_id()) > 0) continue;
    const PackedClip packed = PackClip(clip.clip());
    const std::string key = absl::BytesToHexString(packed.key);
    if (const auto stored = StoreClip(t, run_id, packed, /*candidate=*/false)) {
      rows[key] = *stored;
      response->set_clips(response->clips() + 1);
    } else if (rows.count(key) == 0) {
      FindClips(t, run_id, {key}, &rows);
    }
    rows[clip.clip_id()] = rows[key];
  }
  return rows;
}

// Ids of the labelers, by name; those that are new are made. FAILED_PRECONDITION: a name is
// that of somebody who gives no labels.
absl::StatusOr<std::map<std::string, int64_t>> FindOrMakeLabelers(
    Transaction& t, const std::vector<v1::ImportedLabel>& labels) {
  std::set<std::string> distinct;
  for (const v1::ImportedLabel& label : labels) distinct.insert(label.labeler());
  const std::vector<std::string> names(distinct.begin(), distinct.end());
  t.Exec(R"sql(
      INSERT INTO callers (name, role) SELECT name, 'labeler' FROM unnest($1::text[]) AS u(name)
      ORDER BY name ON CONFLICT (name) DO NOTHING)sql",
         names);
  std::map<std::string, int64_t> labelers;
  for (const auto& row :
       t.Exec("SELECT name, id, role FROM callers WHERE name = ANY ($1::text[])", names)) {
    if (Text(row[2]) != "labeler" && Text(row[2]) != "teacher") {
      return absl::FailedPreconditionError(
          absl::StrCat("'", Text(row[0]), "' is the name of a ", Text(row[2]),
                       ", who gives no labels: import them under another name"));
    }
    labelers[Text(row[0])] = Int(row[1]);
  }
  return labelers;
}

std::set<std::string> KnownSources(Transaction& t, int64_t run_id,
                                   const std::vector<v1::ImportedLabel>& labels) {
  std::vector<std::string> sources;
  for (const v1::ImportedLabel& label : labels) sources.push_back(label.source_key());
  std::set<std::string> known;
  for (const auto& row :
       t.Exec("SELECT source_key FROM labels WHERE run_id = $1 AND source_key = ANY ($2::text[])",
              run_id, sources)) {
    known.insert(Text(row[0]));
  }
  return known;
}

struct NewQuestion {
  std::vector<int64_t> clips;
  std::set<int64_t> labelers;
};
struct NewLabel {
  const v1::ImportedLabel* label;
  size_t question;  // in NewAnswers::questions
  int64_t labeler;
  bool turned;
};
struct NewAnswers {
  std::vector<NewQuestion> questions;
  std::vector<NewLabel> labels;
  // Questions of the same clips, shown one way or the other, by the lesser of the two orders.
  std::map<std::vector<int64_t>, std::vector<size_t>> same_clips;

  // Adds a label whose clips were shown in this order. Labels of the same clips answer one
  // question; a labeler's second answer to it is to another.
  void Add(const v1::ImportedLabel& label, int64_t labeler, std::vector<int64_t> shown) {
    const std::vector<int64_t> reverse(shown.rbegin(), shown.rend());
    std::vector<size_t>& candidates = same_clips[std::min(shown, reverse)];
    auto question = std::find_if(candidates.begin(), candidates.end(), [&](size_t place) {
      return questions[place].labelers.count(labeler) == 0 &&
             questions[place].labelers.size() < kMostAnswers;
    });
    if (question == candidates.end()) {
      question = candidates.insert(candidates.end(), questions.size());
      questions.push_back({shown, {}});
    }
    questions[*question].labelers.insert(labeler);
    labels.push_back({&label, *question, labeler, questions[*question].clips != shown});
  }
};

// Rows of the clips of labels[index], in their order.
absl::StatusOr<std::vector<int64_t>> ShownClips(const std::vector<v1::ImportedLabel>& labels,
                                                size_t index, const RowsByClipId& rows,
                                                int64_t run_id) {
  std::vector<int64_t> shown;
  for (const std::string& id : labels[index].clip_ids()) {
    const auto row = rows.find(id);
    if (row == rows.end()) {
      return absl::NotFoundError(absl::StrCat("labels[", index, "] names the clip ", id,
                                              ", which neither this call nor run ", run_id,
                                              " has"));
    }
    shown.push_back(row->second);
  }
  return shown;
}

// Inserts the questions, without their ordinals; returns their ids.
std::vector<int64_t> InsertQuestions(Transaction& t, int64_t run_id,
                                     const std::vector<NewQuestion>& questions) {
  std::vector<int64_t> ids;
  for (const NewQuestion& question : questions) {
    ids.push_back(
        Int(t.Exec(R"sql(
        WITH opened AS (
          INSERT INTO questions (run_id, purpose, overlap, open_slots, selector, clips)
          VALUES ($1, 'TRAIN', $2, 0, 'import', cardinality($3::bigint[])) RETURNING id)
        INSERT INTO question_clips (question_id, position, clip_id)
        SELECT o.id, u.place - 1, u.clip
        FROM opened o, unnest($3::bigint[]) WITH ORDINALITY AS u(clip, place)
        RETURNING question_id)sql",
                   run_id, static_cast<int64_t>(question.labelers.size()), question.clips)[0][0]));
  }
  return ids;
}

void InsertLabel(Transaction& t, int64_t run_id, int64_t question_id, const NewLabel& item) {
  const v1::ImportedLabel& label = *item.label;
  const std::string body = BodyHash(label);
  const std::string lease = base::RandomHex128();
  const double answered = label.answered_ms() / 1000.0;  // seconds since the epoch; 0: now
  t.Exec(R"sql(
      INSERT INTO leases (id, question_id, caller_id, state, holds_slot, turned, lease_ms,
        leased_at, expires_at, copied)
      VALUES ($1, $2, $3, 'ANSWERED', true, $4, $5,
        coalesce(to_timestamp(nullif($6::float8, 0)), now()) - $7::integer * interval '1 ms',
        now(), true))sql",
         lease, question_id, item.labeler, item.turned, kLeaseMs, answered,
         label.timing().decision_ms());
  t.Exec(R"sql(
      INSERT INTO labels (run_id, question_id, lease_id, caller_id, idempotency_key, body_sha256,
        retraction, choice, ranking, surplus, counts, decision_ms, active_ms, loops,
        first_played_ms, client, answered_at, source_key)
      VALUES ($1, $2, $3, $4, $3, $5, false, $6, $7, false, $8, $9, $10, $11, $12, 'import',
        coalesce(to_timestamp(nullif($13::float8, 0)), now()), $14))sql",
         run_id, question_id, lease, item.labeler, Bytes{body}, ChoiceField(label.answer()),
         RankingField(label.answer()), experience::Compares(label.answer()),
         label.timing().decision_ms(), label.timing().active_ms(), label.timing().loops(),
         label.timing().first_played_ms(), answered, label.source_key());
}

absl::Status CheckTakesLabels(const pqxx::result& runs, int64_t run_id) {
  if (runs.empty()) return UnknownRun(run_id);
  const v1::RunSpec spec = options::StoredSpec(Blob(runs[0]["spec"]));
  const std::string state = Text(runs[0]["state"]);
  if (spec.reward() != v1::PREFERENCES) {
    return absl::FailedPreconditionError(
        absl::StrCat("run ", run_id, " learns from the true reward and takes no labels"));
  }
  if (spec.lockstep() && state == "RUNNING") {
    return absl::FailedPreconditionError(
        absl::StrCat("run ", run_id,
                     " is in lockstep, where nothing may depend on when labels come: start a run "
                     "from these labels instead (labels_from_run), or one with lockstep off"));
  }
  return absl::OkStatus();
}

// Gives the questions their ordinals, under the run's lock: its learner, its workers and its feed
// wait for that, so it comes last.
absl::Status NumberQuestions(Transaction& t, int64_t run_id, const std::vector<int64_t>& ids) {
  const pqxx::result runs =
      t.Exec("SELECT spec, state, questions FROM runs WHERE id = $1 FOR NO KEY UPDATE", run_id);
  RETURN_IF_ERROR(CheckTakesLabels(runs, run_id));
  t.Exec(
      "UPDATE questions q SET ordinal = $2::bigint + u.place - 1 "
      "FROM unnest($1::bigint[]) WITH ORDINALITY AS u(id, place) WHERE q.id = u.id",
      ids, Int(runs[0]["questions"]));
  t.Exec("UPDATE runs SET questions = questions + $2 WHERE id = $1", run_id,
         static_cast<int64_t>(ids.size()));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<v1::ImportLabelsResponse> ImportLabels(
    Connection& connection, const Caller& caller, int64_t run_id,
    const std::vector<v1::Candidate>& clips, const std::vector<v1::ImportedLabel>& labels) {
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<v1::ImportLabelsResponse> {
    v1::ImportLabelsResponse response;
    RETURN_IF_ERROR(
        CheckTakesLabels(t.Exec("SELECT spec, state FROM runs WHERE id = $1", run_id), run_id));
    const RowsByClipId rows = StoreNewClips(t, run_id, clips, labels, &response);
    const std::set<std::string> known = KnownSources(t, run_id, labels);
    ASSIGN_OR_RETURN(const auto labelers, FindOrMakeLabelers(t, labels));
    NewAnswers fresh;
    for (size_t i = 0; i < labels.size(); ++i) {
      ASSIGN_OR_RETURN(std::vector<int64_t> shown, ShownClips(labels, i, rows, run_id));
      if (known.count(labels[i].source_key()) > 0) {
        response.set_known(response.known() + 1);
        continue;
      }
      if (std::set<int64_t>(shown.begin(), shown.end()).size() != shown.size()) {
        return absl::InvalidArgumentError(
            absl::StrCat("labels[", i, "] names clips that are the same"));
      }
      fresh.Add(labels[i], labelers.at(labels[i].labeler()), std::move(shown));
    }
    const std::vector<int64_t> ids = InsertQuestions(t, run_id, fresh.questions);
    for (const NewLabel& item : fresh.labels) InsertLabel(t, run_id, ids[item.question], item);
    response.set_labels(fresh.labels.size());
    if (fresh.labels.empty()) return response;
    RETURN_IF_ERROR(NumberQuestions(t, run_id, ids));
    Audit(t, caller.id, run_id, "import labels",
          absl::StrCat(fresh.labels.size(), " labels, ", response.clips(), " clips"));
    TouchRun(t, run_id);
    return response;
  });
}

}  // namespace backflip::preference_broker
