#include "services/preference_broker/store/review/review_clips.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/options/run_spec.h"
#include "services/preference_broker/store/db/requests.h"
#include "services/preference_broker/store/db/run_row.h"
#include "services/preference_broker/store/db/topics.h"
#include "services/preference_broker/store/people/people.h"
#include "services/preference_broker/store/runs/clips.h"
#include "services/preference_broker/store/runs/recordings.h"

namespace backflip::preference_broker {
namespace {

// Of a run: all are listed in one message.
constexpr int64_t kMostGoldPairs = 1000;
// Most bytes of poses in a response: less than a message may have.
constexpr size_t kMostDrawnBytes = 3'500'000;

absl::Status UnknownClip(int64_t run_id, const std::string& key) {
  return absl::NotFoundError(absl::StrCat("run ", run_id, " has no clip ", key));
}

absl::StatusOr<std::vector<int64_t>> FindClips(Transaction& t, int64_t run_id,
                                               const std::vector<std::string>& keys) {
  std::vector<int64_t> ids;
  for (const auto& row : t.Exec(R"sql(
           SELECT coalesce(k.id, 0), u.hex
           FROM unnest($2::text[]) WITH ORDINALITY AS u(hex, place)
           LEFT JOIN clips k ON k.run_id = $1 AND k.sha256 = decode(u.hex, 'hex')
           ORDER BY u.place)sql",
                                run_id, keys)) {
    if (Int(row[0]) == 0) return UnknownClip(run_id, Text(row[1]));
    ids.push_back(Int(row[0]));
  }
  return ids;
}

// A run's gold pairs, or the one with this id, with how often it was asked and answered right.
absl::StatusOr<std::vector<v1::GoldPair>> GoldPairs(Transaction& t, int64_t run_id,
                                                    int64_t gold_id) {
  std::vector<v1::GoldPair> pairs;
  for (const auto& row : t.Exec(R"sql(
           SELECT g.id, a.sha256, b.sha256, g.answer, g.explanation, g.use, count(l.id),
             count(l.id) FILTER (WHERE turned_choice(l.choice,
               s.turned <> (f.clip_id <> g.first_clip)) = g.answer)
           FROM gold_pairs g JOIN clips a ON a.id = g.first_clip
           JOIN clips b ON b.id = g.second_clip
           LEFT JOIN questions q ON q.gold_id = g.id
           LEFT JOIN question_clips f ON f.question_id = q.id AND f.position = 0
           LEFT JOIN standing_labels l ON l.question_id = q.id
           LEFT JOIN leases s ON s.id = l.lease_id
           WHERE CASE WHEN $2::bigint = 0 THEN g.run_id = $1 AND g.removed_at IS NULL
             ELSE g.id = $2 END
           GROUP BY g.id, a.id, b.id ORDER BY g.id)sql",
                                run_id, gold_id)) {
    v1::GoldPair& pair = pairs.emplace_back();
    pair.set_gold_id(Int(row[0]));
    pair.add_clip_ids(Hex(row[1]));
    pair.add_clip_ids(Hex(row[2]));
    pair.set_answer(Enum<v1::Choice>(row[3]));
    pair.set_explanation(Text(row[4]));
    pair.set_use(Enum<v1::GoldUse>(row[5]));
    pair.set_asked(Int(row[6]));
    pair.set_answered_right(Int(row[7]));
  }
  return pairs;
}

// FAILED_PRECONDITION: why a person may not ask a question of the run now.
absl::Status CheckTakesQuestions(int64_t run_id, const v1::RunSpec& spec, const std::string& state,
                                 bool asking_stopped) {
  if (state != "RUNNING") {
    return absl::FailedPreconditionError(
        absl::StrCat("run ", run_id, " is ", state, ": only a running run takes questions"));
  }
  if (spec.reward() != v1::PREFERENCES) {
    return absl::FailedPreconditionError(
        absl::StrCat("run ", run_id, " learns from the true reward and asks nobody"));
  }
  if (spec.lockstep()) {
    return absl::FailedPreconditionError(
        absl::StrCat("run ", run_id,
                     " is in lockstep, where its seed alone decides what is asked: run with "
                     "lockstep off (train --human) to ask questions of your own"));
  }
  if (asking_stopped) {
    return absl::FailedPreconditionError(
        absl::StrCat("run ", run_id, " asks no more questions: it finishes on the labels it has"));
  }
  return absl::OkStatus();
}

// What a reviewer may ask, so that a run's labels go to what its selector chooses: so much in an
// hour, and so large a part of the labels that the run wants.
constexpr int64_t kMostAskedInAnHour = 60;
constexpr int64_t kPartAsked = 4;

absl::Status CheckMayAsk(Transaction& t, const Caller& caller, int64_t run_id, int64_t labels) {
  if (caller.role != Role::kReviewer) return absl::OkStatus();
  const pqxx::row asked = t.Exec(R"sql(
      SELECT count(*), ceil(extract(epoch FROM min(at) + interval '1 hour' - now()) / 60)::bigint
      FROM audit WHERE caller_id = $1 AND action = 'ask about' AND at > now() - interval '1 hour')sql",
                                 caller.id)[0];
  if (Int(asked[0]) >= kMostAskedInAnHour) {
    return absl::ResourceExhaustedError(absl::StrCat("you have asked ", Int(asked[0]),
                                                     " questions within an hour: ask again in ",
                                                     Int(asked[1]), " minutes"));
  }
  const int64_t in_run =
      Int(t.Exec("SELECT count(*) FROM questions "
                 "WHERE run_id = $1 AND round IS NULL AND selector = 'person'",
                 run_id)[0][0]);
  if (in_run < std::max<int64_t>(1, labels / kPartAsked)) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("people have asked ", in_run, " questions of run ", run_id,
                   ", a quarter of the labels that it wants: an operator may ask more"));
}

// Whether a clip of `clip_steps` can be cut around `step`.
absl::Status CheckCanBeCut(const v1::Clip& recording, int32_t step, int32_t clip_steps) {
  if (step >= recording.steps()) {
    return absl::InvalidArgumentError(
        absl::StrCat("step is ", step, ", but the episode has ", recording.steps(), " steps"));
  }
  if (recording.steps() < clip_steps) {
    return absl::FailedPreconditionError(
        absl::StrCat("the recorded episode has ", recording.steps(),
                     " steps, too few for a clip of ", clip_steps));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<v1::GetClipsResponse> DrawnClips(Connection& connection,
                                                const v1::GetClipsRequest& request) {
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<v1::GetClipsResponse> {
    const int64_t run_id = request.run_id();
    RETURN_IF_ERROR(CheckRunExists(t, run_id));
    std::vector<int64_t> ids;
    if (request.clip_ids_size() > 0) {
      ASSIGN_OR_RETURN(
          ids, FindClips(t, run_id, {request.clip_ids().begin(), request.clip_ids().end()}));
    } else {
      ids = Ints(t.Exec(R"sql(
          SELECT id FROM clips WHERE run_id = $1 AND candidate AND iteration =
            (SELECT max(iteration) FROM clips WHERE run_id = $1 AND candidate)
          ORDER BY ticket, index LIMIT $2)sql",
                        run_id, request.newest()));
    }
    v1::GetClipsResponse response;
    size_t bytes = 0;
    for (const int64_t id : ids) {
      const pqxx::result rows =
          t.Exec("SELECT sha256, behaviour, picture FROM clips WHERE id = $1", id);
      if (rows.empty()) continue;  // pruned just now
      v1::Clip clip;
      RETURN_IF_ERROR(UnpackPart(Blob(rows[0][1]), &clip));
      RETURN_IF_ERROR(UnpackPart(Blob(rows[0][2]), &clip));
      bytes += clip.poses().ByteSizeLong();
      if (bytes > kMostDrawnBytes) {
        if (request.clip_ids_size() == 0) break;
        return absl::InvalidArgumentError(
            absl::StrCat("the pictures of ", ids.size(),
                         " such clips are too much for one answer: ask for fewer"));
      }
      v1::DrawnClip* drawn = response.add_clips();
      drawn->set_clip_id(Hex(rows[0][0]));
      drawn->set_policy_version(clip.policy_version());
      drawn->set_iteration(clip.iteration());
      drawn->set_steps(clip.steps());
      *drawn->mutable_poses() = std::move(*clip.mutable_poses());
    }
    return response;
  });
}

absl::StatusOr<std::vector<int64_t>> ClipRows(Connection& connection, int64_t run_id,
                                              const std::vector<std::string>& keys) {
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<std::vector<int64_t>> {
    RETURN_IF_ERROR(CheckRunExists(t, run_id));
    if (!keys.empty()) return FindClips(t, run_id, keys);
    return Ints(t.Exec(R"sql(
        SELECT DISTINCT p.clip_id
        FROM standing_labels l JOIN question_clips p ON p.question_id = l.question_id
        WHERE l.run_id = $1 ORDER BY 1)sql",
                       run_id));
  });
}

absl::StatusOr<std::vector<v1::Candidate>> ReadWholeClips(Connection& connection,
                                                          const std::vector<int64_t>& ids) {
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<std::vector<v1::Candidate>> {
    std::vector<v1::Candidate> clips;
    for (const auto& row : t.Exec(R"sql(
             SELECT k.sha256, k.behaviour, k.picture, k.physics
             FROM unnest($1::bigint[]) WITH ORDINALITY AS u(id, place) JOIN clips k ON k.id = u.id
             ORDER BY u.place)sql",
                                  ids)) {
      v1::Candidate& clip = clips.emplace_back();
      clip.set_clip_id(Hex(row[0]));
      for (int part = 1; part <= 3; ++part)
        RETURN_IF_ERROR(UnpackPart(Blob(row[part]), clip.mutable_clip()));
    }
    return clips;
  });
}

absl::StatusOr<RecordedEpisode> ReadEpisode(Connection& connection,
                                            const v1::GetEpisodeRequest& request) {
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<RecordedEpisode> {
    RecordedEpisode episode;
    ASSIGN_OR_RETURN(episode.recording, ReadRecording(t, request.run_id(), request.policy_version(),
                                                      /*with_states=*/false));
    episode.versions = RecordedVersions(t, request.run_id());
    v1::TaskInfo task;
    task.ParseFromString(
        Blob(t.Exec("SELECT task FROM runs WHERE id = $1", request.run_id())[0][0]));
    episode.playback_fps = task.playback_fps();
    episode.scene_hash = task.scene_hash();
    const pqxx::result rewards = t.Exec(
        "SELECT data FROM snapshots WHERE run_id = $1 AND kind = 'REWARD' ORDER BY version DESC "
        "LIMIT 1",
        request.run_id());
    if (!rewards.empty()) episode.reward = Blob(rewards[0][0]);
    return episode;
  });
}

absl::StatusOr<v1::AskAboutResponse> AskAbout(Connection& connection, const Caller& caller,
                                              const v1::AskAboutRequest& request) {
  const int64_t run_id = request.run_id();
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<v1::AskAboutResponse> {
    v1::AskAboutResponse response;
    ASSIGN_OR_RETURN(const bool answered, AnsweredBefore(t, request, &response));
    if (answered) return response;
    // ordinals are given out under the run's lock
    const pqxx::result runs = t.Exec(
        "SELECT state, spec, task, questions, asking_stopped FROM runs WHERE id = $1 "
        "FOR NO KEY UPDATE",
        run_id);
    if (runs.empty()) return UnknownRun(run_id);
    const pqxx::row run = runs[0];
    const v1::RunSpec spec = options::StoredSpec(Blob(run["spec"]));
    v1::TaskInfo task;
    task.ParseFromString(Blob(run["task"]));
    RETURN_IF_ERROR(
        CheckTakesQuestions(run_id, spec, Text(run["state"]), Bool(run["asking_stopped"])));
    RETURN_IF_ERROR(CheckMayAsk(t, caller, run_id, spec.labels()));
    ASSIGN_OR_RETURN(const v1::Clip recording,
                     ReadRecording(t, run_id, request.policy_version(), /*with_states=*/true));
    RETURN_IF_ERROR(CheckCanBeCut(recording, request.step(), task.clip_steps()));
    const PackedClip clip = PackClip(CutClip(recording, request.step(), task.clip_steps()));
    StoreClip(t, run_id, clip, /*candidate=*/false);
    const pqxx::result others = t.Exec(R"sql(
        SELECT id FROM clips WHERE run_id = $1 AND candidate AND iteration =
          (SELECT max(iteration) FROM clips WHERE run_id = $1 AND candidate)
        ORDER BY random() LIMIT 1 FOR KEY SHARE)sql",
                                       run_id);
    if (others.empty()) {
      return absl::FailedPreconditionError(absl::StrCat(
          "run ", run_id, " has no clip yet to compare with: ask again when a batch is done"));
    }
    const int64_t ordinal = Int(run["questions"]);
    response.set_question_id(Int(t.Exec(R"sql(
        WITH opened AS (
          INSERT INTO questions (run_id, ordinal, purpose, overlap, open_slots, selector)
          VALUES ($1, $2, 'TRAIN', $3, $3, 'person') RETURNING id)
        INSERT INTO question_clips (question_id, position, clip_id)
        SELECT o.id, 0, k.id FROM opened o, clips k WHERE k.run_id = $1 AND k.sha256 = $4
        UNION ALL SELECT o.id, 1, $5 FROM opened o RETURNING question_id)sql",
                                        run_id, ordinal, spec.queries().overlap(), Bytes{clip.key},
                                        Int(others[0][0]))[0][0]));
    t.Exec("UPDATE runs SET questions = $2 WHERE id = $1", run_id, ordinal + 1);
    Audit(t, caller.id, run_id, "ask about",
          absl::StrCat("policy ", recording.policy_version(), ", step ", request.step()));
    RememberAnswer(t, caller.id, request, response);
    TouchRun(t, run_id);
    t.Signal(kQuestionsTopic);
    return response;
  });
}

absl::StatusOr<v1::GoldPair> AddGold(Connection& connection, const Caller& caller,
                                     const v1::AddGoldRequest& request) {
  const int64_t run_id = request.run_id();
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<v1::GoldPair> {
    RETURN_IF_ERROR(CheckRunExists(t, run_id));
    ASSIGN_OR_RETURN(const std::vector<int64_t> clips,
                     FindClips(t, run_id, {request.clip_ids().begin(), request.clip_ids().end()}));
    const std::string use = v1::GoldUse_Name(request.use());
    // the same two clips the other way round are the same pair
    const pqxx::result earlier = t.Exec(R"sql(
        SELECT g.id, g.answer = turned_choice($5, g.first_clip <> $2) AND g.explanation = $6 AS same,
          g.removed_at IS NOT NULL AS removed, g.set_by_operator,
          EXISTS (SELECT FROM questions q WHERE q.gold_id = g.id) AS asked
        FROM gold_pairs g WHERE g.run_id = $1 AND g.use = $4
          AND (g.first_clip, g.second_clip) IN (($2, $3), ($3, $2)) FOR UPDATE)sql",
                                        run_id, clips[0], clips[1], use,
                                        v1::Choice_Name(request.answer()), request.explanation());
    int64_t id = 0;
    if (earlier.empty()) {
      if (Int(t.Exec("SELECT count(*) FROM gold_pairs WHERE run_id = $1", run_id)[0][0]) >=
          kMostGoldPairs) {
        return absl::FailedPreconditionError(
            absl::StrCat("run ", run_id, " has had ", kMostGoldPairs,
                         " known pairs, and no more fit into one list"));
      }
      id =
          Int(t.Exec("INSERT INTO gold_pairs (run_id, first_clip, second_clip, answer, "
                     "explanation, use, created_by, set_by_operator) "
                     "VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id",
                     run_id, clips[0], clips[1], v1::Choice_Name(request.answer()),
                     request.explanation(), use, caller.id, caller.role == Role::kOperator)[0][0]);
      Audit(t, caller.id, run_id, "add gold", absl::StrCat(id, ", ", use));
    } else {
      id = Int(earlier[0][0]);
      const bool same = Bool(earlier[0]["same"]), removed = Bool(earlier[0]["removed"]),
                 asked = Bool(earlier[0]["asked"]);
      if (!same && (asked || !removed)) {
        return absl::AlreadyExistsError(absl::StrCat(
            "these clips are gold pair ", id, " with another answer or explanation",
            asked ? ", and were asked: answers are judged by it. Make a pair of other clips"
                  : ": remove that one first"));
      }
      if (removed) {
        RETURN_IF_ERROR(CheckMayUndo(caller, Bool(earlier[0]["set_by_operator"]),
                                     absl::StrCat("gold pair ", id, " was removed")));
        t.Exec(
            "UPDATE gold_pairs SET removed_at = NULL, explanation = $3, "
            "answer = turned_choice($2, first_clip <> $4), set_by_operator = $5 WHERE id = $1",
            id, v1::Choice_Name(request.answer()), request.explanation(), clips[0],
            caller.role == Role::kOperator);
        Audit(t, caller.id, run_id, "add gold", absl::StrCat(id, ", ", use));
      }
    }
    ASSIGN_OR_RETURN(std::vector<v1::GoldPair> pairs, GoldPairs(t, run_id, id));
    return std::move(pairs[0]);
  });
}

absl::StatusOr<v1::ListGoldResponse> ListGold(Connection& connection, int64_t run_id) {
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<v1::ListGoldResponse> {
    RETURN_IF_ERROR(CheckRunExists(t, run_id));
    ASSIGN_OR_RETURN(std::vector<v1::GoldPair> pairs, GoldPairs(t, run_id, 0));
    v1::ListGoldResponse response;
    for (v1::GoldPair& pair : pairs) *response.add_pairs() = std::move(pair);
    return response;
  });
}

absl::Status RemoveGold(Connection& connection, const Caller& caller, int64_t gold_id) {
  return connection.Transact([&](Transaction& t) -> absl::Status {
    const pqxx::result rows = t.Exec(
        "SELECT run_id, removed_at IS NOT NULL, set_by_operator FROM gold_pairs WHERE id = $1 "
        "FOR UPDATE",
        gold_id);
    if (rows.empty()) return absl::NotFoundError(absl::StrCat("there is no gold pair ", gold_id));
    RETURN_IF_ERROR(CheckRunAllowed(caller, Int(rows[0][0])));
    if (Bool(rows[0][1])) return absl::OkStatus();
    RETURN_IF_ERROR(
        CheckMayUndo(caller, Bool(rows[0][2]), absl::StrCat("gold pair ", gold_id, " was made")));
    t.Exec("UPDATE gold_pairs SET removed_at = now(), set_by_operator = $2 WHERE id = $1", gold_id,
           caller.role == Role::kOperator);
    Audit(t, caller.id, Int(rows[0][0]), "remove gold", absl::StrCat(gold_id));
    return absl::OkStatus();
  });
}

}  // namespace backflip::preference_broker
