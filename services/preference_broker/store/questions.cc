#include "services/preference_broker/store/questions.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/base/hash.h"
#include "common/base/random.h"
#include "common/base/status_macros.h"
#include "services/preference_broker/store/claims.h"
#include "services/preference_broker/store/clips.h"
#include "services/preference_broker/store/runs.h"
#include "services/preference_broker/store/topics.h"

namespace backflip::broker {
namespace {

// Keeps one caller from holding all questions.
constexpr int64_t kMaxLeasesOfCaller = 64;
// What a side is drawn for, among the draws of a run's seed.
constexpr uint64_t kSideDraw = 0x73696465;  // "side"
// First key of the advisory locks under which feeds are numbered.
constexpr int64_t kFeedLock = int64_t{0x66656564} << 32;  // "feed"

std::string BodyHash(const google::protobuf::MessageLite& message) {
  return absl::HexStringToBytes(base::Sha256Hex(message.SerializeAsString()));
}

v1::OpenQuestionsResponse StandingRound(Transaction& t, int64_t run_id, int64_t round) {
  v1::OpenQuestionsResponse response;
  for (const auto& row :
       t.Exec("SELECT q.id, q.ordinal, q.purpose, q.overlap, "
              "  (SELECT string_agg(encode(c.sha256, 'hex'), ' ' ORDER BY p.position) "
              "   FROM question_clips p JOIN clips c ON c.id = p.clip_id WHERE p.question_id = q.id) "
              "FROM questions q WHERE q.run_id = $1 AND q.round = $2 ORDER BY q.ordinal",
              run_id, round)) {
    v1::OpenedQuestion* question = response.add_questions();
    question->set_question_id(Int(row[0]));
    question->set_ordinal(Int(row[1]));
    v1::Purpose purpose = v1::PURPOSE_UNSPECIFIED;
    v1::Purpose_Parse(Text(row[2]), &purpose);
    question->set_purpose(purpose);
    question->set_overlap(Int(row[3]));
    const std::string ids = Text(row[4]);
    for (size_t at = 0; at < ids.size(); at += 65) question->add_clip_ids(ids.substr(at, 64));
  }
  return response;
}

v1::Choice TurnedChoice(v1::Choice choice) {
  if (choice == v1::LEFT) return v1::RIGHT;
  if (choice == v1::RIGHT) return v1::LEFT;
  return choice;
}

v1::Choice ChoiceOf(const pqxx::field& field) {
  v1::Choice choice = v1::CHOICE_UNSPECIFIED;
  v1::Choice_Parse(Text(field), &choice);
  return choice;
}

v1::Purpose PurposeOf(const pqxx::field& field) {
  v1::Purpose purpose = v1::PURPOSE_UNSPECIFIED;
  v1::Purpose_Parse(Text(field), &purpose);
  return purpose;
}

bool Counts(const std::string& purpose, v1::Choice choice, bool surplus) {
  return !surplus && purpose == "TRAIN" &&
         (choice == v1::LEFT || choice == v1::RIGHT || choice == v1::TIE);
}

// A lease under its question's lock.
struct HeldLease {
  int64_t question_id = 0;
  int64_t run_id = 0;
  int32_t open_slots = 0;
  std::string purpose;
  std::string state;
  bool holds_slot = false;
  // End of the lease's chain of labels; 0: none yet.
  int64_t label = 0;
  bool retracted = false;
  v1::Choice choice = v1::CHOICE_UNSPECIFIED;
  bool surplus = false;
};

absl::StatusOr<HeldLease> LockLease(Transaction& t, const Caller& caller, const std::string& lease_id) {
  // each statement sees what was committed before it, so what is read under the
  // question's lock is what the one who held it before has left
  const pqxx::result questions = t.Exec(
      "SELECT l.caller_id, q.id, q.run_id, q.open_slots, q.purpose FROM leases l "
      "JOIN questions q ON q.id = l.question_id WHERE l.id = $1 FOR NO KEY UPDATE OF q",
      lease_id);
  if (questions.empty()) {
    return absl::NotFoundError("there is no such lease: lease a question and answer under its lease_id");
  }
  if (Int(questions[0][0]) != caller.id) {
    return absl::PermissionDeniedError(
        "the lease belongs to another labeler: only who leased a question may answer it");
  }
  HeldLease lease;
  lease.question_id = Int(questions[0][1]);
  lease.run_id = Int(questions[0][2]);
  lease.open_slots = Int(questions[0][3]);
  lease.purpose = Text(questions[0][4]);
  const pqxx::result states = t.Exec("SELECT state, holds_slot FROM leases WHERE id = $1 FOR NO KEY UPDATE", lease_id);
  lease.state = Text(states[0][0]);
  lease.holds_slot = Bool(states[0][1]);
  const pqxx::result labels = t.Exec(
      "SELECT l.id, l.retraction, coalesce(l.choice, ''), l.surplus FROM labels l WHERE l.lease_id = $1 "
      "AND NOT EXISTS (SELECT FROM labels n WHERE n.supersedes = l.id)",
      lease_id);
  if (!labels.empty()) {
    lease.label = Int(labels[0][0]);
    lease.retracted = Bool(labels[0][1]);
    lease.choice = ChoiceOf(labels[0][2]);
    lease.surplus = Bool(labels[0][3]);
  }
  return lease;
}

// The label that an earlier call with this key made; 0: none. ALREADY_EXISTS:
// that call said something else.
absl::StatusOr<std::pair<int64_t, bool>> EarlierLabel(Transaction& t, const Caller& caller,
                                                      const std::string& key, const std::string& body) {
  const pqxx::result rows = t.Exec(
      "SELECT id, surplus, body_sha256 = $3 FROM labels WHERE caller_id = $1 AND idempotency_key = $2",
      caller.id, key, Bytes{body});
  if (rows.empty()) return std::pair<int64_t, bool>(0, false);
  if (!Bool(rows[0][2])) {
    return absl::AlreadyExistsError(
        absl::StrCat("idempotency_key '", key, "' was used for another answer: choose a new one for each"));
  }
  return std::pair<int64_t, bool>(Int(rows[0][0]), Bool(rows[0][1]));
}

v1::NothingToLabel WhyNone(Transaction& t, const Caller& caller, const std::vector<int64_t>& runs,
                           int64_t run_id) {
  if (runs.empty()) {
    const pqxx::result paused =
        t.Exec("SELECT FROM runs WHERE ($1::bigint = 0 OR id = $1) AND state = 'PAUSED' LIMIT 1", run_id);
    if (!paused.empty()) return v1::PAUSED_BY_OPERATOR;
    const pqxx::result any = t.Exec("SELECT FROM runs WHERE $1::bigint = 0 OR id = $1 LIMIT 1", run_id);
    return any.empty() ? v1::LEARNING : v1::BUDGET_SPENT;
  }
  const pqxx::result open = t.Exec(
      "SELECT FROM questions q JOIN leases l ON l.question_id = q.id AND l.caller_id = $2 "
      "  AND l.state IN ('LIVE', 'ANSWERED') "
      "WHERE q.run_id = ANY ($1::bigint[]) AND q.open_slots > 0 LIMIT 1",
      runs, caller.id);
  if (!open.empty()) return v1::ALL_ANSWERED_BY_YOU;
  bool spent = true;
  for (const auto& row : t.Exec("SELECT spec, labels FROM runs WHERE id = ANY ($1::bigint[])", runs)) {
    v1::RunSpec spec;
    spec.ParseFromString(Blob(row[0]));
    spent = spent && Int(row[1]) >= spec.labels();
  }
  return spent ? v1::BUDGET_SPENT : v1::LEARNING;
}

}  // namespace

absl::StatusOr<v1::OpenQuestionsResponse> OpenQuestions(Connection& connection, const Caller& caller,
                                                        const v1::OpenQuestionsRequest& request) {
  const int64_t run_id = request.run_id();
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<v1::OpenQuestionsResponse> {
    RETURN_IF_ERROR(CheckEpoch(t, run_id, caller.role, request.epoch()));
    // ordinals are given out under the run's lock
    const pqxx::result runs = t.Exec(
        "SELECT questions, spec, (SELECT coalesce(max(round), -1) FROM rounds WHERE run_id = $1), "
        "  EXISTS (SELECT FROM rounds WHERE run_id = $1 AND round = $2) "
        "FROM runs WHERE id = $1 FOR NO KEY UPDATE",
        run_id, request.round());
    if (Bool(runs[0][3])) return StandingRound(t, run_id, request.round());
    if (request.round() <= Int(runs[0][2])) {
      return absl::FailedPreconditionError(
          absl::StrCat("round ", request.round(), " comes too late: round ", Int(runs[0][2]),
                       " of run ", run_id, " is open already, and rounds are opened in order"));
    }
    v1::RunSpec spec;
    spec.ParseFromString(Blob(runs[0][1]));
    int64_t ordinal = Int(runs[0][0]);
    std::map<std::string, int64_t> clips;
    std::vector<std::string> names;
    for (const v1::NewQuestion& question : request.questions()) {
      for (const std::string& id : question.clip_ids()) {
        if (clips.emplace(id, 0).second) names.push_back(id);
      }
    }
    for (const auto& row :
         t.Exec("SELECT c.id, c.sha256 FROM unnest($2::text[]) AS u(hex) JOIN clips c ON c.run_id = $1 "
                "  AND c.sha256 = decode(u.hex, 'hex') FOR KEY SHARE OF c",
                run_id, names)) {
      clips[Hex(row[1])] = Int(row[0]);
    }
    for (const auto& [name, id] : clips) {
      if (id == 0) {
        return absl::NotFoundError(
            absl::StrCat("clip ", name, " is no stored candidate of run ", run_id,
                         ": it was never uploaded, or has left the pool"));
      }
    }
    t.Exec("INSERT INTO rounds (run_id, round, selector, ensemble_version) VALUES ($1, $2, $3, $4)", run_id,
           request.round(), request.selector(), request.ensemble_version());
    std::vector<int64_t> ordinals, left, right;
    std::vector<int32_t> overlaps;
    std::vector<double> scores;
    std::vector<std::string> purposes;
    for (const v1::NewQuestion& question : request.questions()) {
      ordinals.push_back(ordinal++);
      purposes.push_back(v1::Purpose_Name(question.purpose()));
      overlaps.push_back(question.overlap() > 0 ? question.overlap() : spec.queries().overlap());
      scores.push_back(question.score());
      left.push_back(clips[question.clip_ids(0)]);
      right.push_back(clips[question.clip_ids(1)]);
    }
    t.Exec(
        "WITH asked AS (SELECT * FROM unnest($3::bigint[], $4::text[], $5::integer[], $6::double precision[], "
        "    $7::bigint[], $8::bigint[]) AS u(ordinal, purpose, overlap, score, first, second)), "
        "  opened AS (INSERT INTO questions (run_id, round, ordinal, purpose, overlap, open_slots, score) "
        "    SELECT $1, $2, ordinal, purpose, overlap, overlap, score FROM asked RETURNING id, ordinal) "
        "INSERT INTO question_clips (question_id, position, clip_id) "
        "  SELECT o.id, 0, a.first FROM opened o JOIN asked a USING (ordinal) "
        "  UNION ALL SELECT o.id, 1, a.second FROM opened o JOIN asked a USING (ordinal)",
        run_id, request.round(), ordinals, purposes, overlaps, scores, left, right);
    t.Exec("UPDATE runs SET questions = $2 WHERE id = $1", run_id, ordinal);
    TouchRun(t, run_id);
    t.Signal(kQuestionsTopic);
    v1::OpenQuestionsResponse response = StandingRound(t, run_id, request.round());
    response.set_opened(true);
    return response;
  });
}

absl::StatusOr<v1::LeaseResponse> LeaseQuestions(Connection& connection, const Caller& caller,
                                                 int64_t run_id, int32_t count, int32_t lease_ms) {
  const bool teacher = caller.role == Role::kTeacher;
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<v1::LeaseResponse> {
    if (run_id != 0) {
      const pqxx::result run = t.Exec("SELECT has_true_reward FROM runs WHERE id = $1", run_id);
      if (run.empty()) return UnknownRun(run_id);
      if (teacher && !Bool(run[0][0])) {
        return absl::FailedPreconditionError(
            "the task has no true reward, which a teacher answers by: let people label it, "
            "or give task.textproto a true_reward");
      }
    }
    std::map<int64_t, std::pair<v1::TaskInfo, uint64_t>> tasks;
    std::vector<int64_t> runs;
    for (const auto& row :
         t.Exec("SELECT id, task, spec FROM runs WHERE state IN ('QUEUED', 'RUNNING') AND ($1::bigint = 0 OR id = $1) "
                "  AND reward = 'PREFERENCES' AND (has_true_reward OR NOT $2::boolean) ORDER BY id",
                run_id, teacher)) {
      runs.push_back(Int(row[0]));
      auto& [task, seed] = tasks[runs.back()];
      task.ParseFromString(Blob(row[1]));
      v1::RunSpec spec;
      spec.ParseFromString(Blob(row[2]));
      seed = spec.seed();
    }
    v1::LeaseResponse response;
    if (!runs.empty()) {
      const int64_t held =
          Int(t.Exec("SELECT count(*) FROM leases WHERE caller_id = $1 AND state = 'LIVE'", caller.id)[0][0]);
      if (held + count > kMaxLeasesOfCaller) {
        return absl::FailedPreconditionError(absl::StrCat(
            "you hold ", held, " leases, and at most ", kMaxLeasesOfCaller, " are allowed: answer those first"));
      }
      std::vector<std::string> ids;
      for (int i = 0; i < count; ++i) ids.push_back(base::RandomHex128());
      const pqxx::result leased = t.Exec(
          "WITH picked AS (SELECT q.id FROM questions q "
          "    WHERE q.run_id = ANY ($1::bigint[]) AND q.open_slots > 0 "
          "      AND NOT EXISTS (SELECT FROM leases l WHERE l.question_id = q.id AND l.caller_id = $2 "
          "        AND l.state IN ('LIVE', 'ANSWERED')) "
          "    ORDER BY q.run_id, q.ordinal FOR NO KEY UPDATE SKIP LOCKED LIMIT $3), "
          "  taken AS (UPDATE questions q SET open_slots = q.open_slots - 1 FROM picked "
          "    WHERE q.id = picked.id AND q.open_slots > 0 RETURNING q.id, q.run_id, q.ordinal), "
          "  numbered AS (SELECT *, row_number() OVER (ORDER BY run_id, ordinal) AS n FROM taken) "
          "INSERT INTO leases (id, question_id, caller_id, turned, lease_ms, expires_at) "
          "  SELECT ($4::text[])[n], id, $2, false, $5::integer, now() + $5::integer * interval '1 ms' FROM numbered "
          "  RETURNING id, question_id, (SELECT run_id FROM questions q WHERE q.id = question_id), "
          "    (SELECT ordinal FROM questions q WHERE q.id = question_id)",
          runs, caller.id, count, ids, lease_ms);
      std::map<int64_t, v1::Question*> questions;
      std::map<int64_t, bool> turned;
      std::vector<std::string> turned_leases;
      for (const auto& row : leased) {
        const int64_t question_id = Int(row[1]);
        const auto& [task, seed] = tasks[Int(row[2])];
        v1::Question* question = response.add_questions();
        question->set_lease_id(Text(row[0]));
        question->set_lease_ms(lease_ms);
        question->set_text(task.question());
        question->set_scene_hash(task.scene_hash());
        question->set_playback_fps(task.playback_fps());
        question->set_run_id(Int(row[2]));
        questions[question_id] = question;
        // Drawn from the run's seed, so that a run can be repeated whole, and
        // by labeler, so that with overlap a habit of one side shows.
        turned[question_id] = base::SeedOf({seed, kSideDraw, static_cast<uint64_t>(Int(row[3])),
                                            static_cast<uint64_t>(caller.id)}) % 2 == 1;
        if (turned[question_id]) turned_leases.push_back(Text(row[0]));
      }
      if (!turned_leases.empty()) {
        t.Exec("UPDATE leases SET turned = true WHERE id = ANY ($1::text[])", turned_leases);
      }
      if (!questions.empty()) {
        std::vector<int64_t> question_ids;
        for (const auto& [id, question] : questions) question_ids.push_back(id);
        // truth is another column: who is no teacher does not read it
        const pqxx::result clips = t.Exec(
            "SELECT p.question_id, c.picture, CASE WHEN $2::boolean THEN c.truth END "
            "FROM question_clips p JOIN clips c ON c.id = p.clip_id "
            "WHERE p.question_id = ANY ($1::bigint[]) ORDER BY p.question_id, p.position",
            question_ids, teacher);
        for (const auto& row : clips) {
          v1::Clip clip;
          RETURN_IF_ERROR(UnpackPart(Blob(row[1]), &clip));
          if (!row[2].is_null()) RETURN_IF_ERROR(UnpackPart(Blob(row[2]), &clip));
          v1::ShownClip* shown = questions[Int(row[0])]->add_clips();
          shown->set_steps(clip.steps());
          *shown->mutable_poses() = std::move(*clip.mutable_poses());
          *shown->mutable_true_rewards() = std::move(*clip.mutable_true_rewards());
        }
        for (const auto& [id, question] : questions) {
          if (turned[id]) std::reverse(question->mutable_clips()->begin(), question->mutable_clips()->end());
        }
        return response;
      }
    }
    response.set_none(WhyNone(t, caller, runs, run_id));
    return response;
  });
}

absl::StatusOr<int32_t> RenewLeases(Connection& connection, const Caller& caller) {
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<int32_t> {
    // in the order of expiry, which takes them in bulk too
    return t
        .Exec("WITH held AS (SELECT id FROM leases WHERE caller_id = $1 AND state = 'LIVE' "
              "    ORDER BY id FOR NO KEY UPDATE) "
              "UPDATE leases l SET expires_at = now() + l.lease_ms * interval '1 ms' FROM held "
              "WHERE l.id = held.id AND l.state = 'LIVE' RETURNING l.id",
              caller.id)
        .size();
  });
}

absl::StatusOr<SubmittedLabel> SubmitLabel(Connection& connection, const Caller& caller,
                                           const v1::SubmitRequest& request) {
  const std::string body = BodyHash(request);
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<SubmittedLabel> {
    ASSIGN_OR_RETURN(HeldLease lease, LockLease(t, caller, request.lease_id()));
    SubmittedLabel label;
    label.run_id = lease.run_id;
    ASSIGN_OR_RETURN(const auto earlier, EarlierLabel(t, caller, request.idempotency_key(), body));
    if (earlier.first != 0) {
      label.label_id = earlier.first;
      label.surplus = earlier.second;
      return label;
    }
    const v1::Choice choice = request.answer().choice();
    const bool stands = lease.label != 0 && !lease.retracted;
    if (stands && !request.has_supersedes()) {
      if (lease.choice == choice) {
        // the same answer twice is one label
        label.label_id = lease.label;
        label.surplus = lease.surplus;
        return label;
      }
      return absl::FailedPreconditionError(
          absl::StrCat("the question was answered before with another answer: to change it, name the "
                       "label that it replaces (supersedes: ", lease.label, ")"));
    }
    if (request.has_supersedes() && (!stands || request.supersedes() != lease.label)) {
      return absl::FailedPreconditionError(
          absl::StrCat("label ", request.supersedes(), " is not what stands under this lease",
                       stands ? absl::StrCat(": that is label ", lease.label) : ": no label does"));
    }
    if (lease.state == "EXPIRED") {
      // The deadline has passed, but human time is precious. Another lease of
      // the same labeler on the question gives way to this answer.
      const pqxx::result other = t.Exec(
          "SELECT id, state, holds_slot FROM leases WHERE caller_id = $1 AND question_id = $2 "
          "  AND state IN ('LIVE', 'ANSWERED')",
          caller.id, lease.question_id);
      if (!other.empty() && Text(other[0][1]) == "ANSWERED") {
        return absl::FailedPreconditionError(
            "the question was answered by you under a newer lease: change that answer instead");
      }
      if (!other.empty()) {
        lease.holds_slot = Bool(other[0][2]);
        t.Exec("UPDATE leases SET state = 'EXPIRED', holds_slot = false WHERE id = $1", Text(other[0][0]));
      } else if (lease.open_slots > 0) {
        t.Exec("UPDATE questions SET open_slots = open_slots - 1 WHERE id = $1", lease.question_id);
        lease.holds_slot = true;
      }
    }
    label.surplus = !lease.holds_slot;
    t.Exec("UPDATE leases SET state = 'ANSWERED', holds_slot = $2 WHERE id = $1", request.lease_id(),
           lease.holds_slot);
    label.label_id = Int(t.Exec(
        "INSERT INTO labels (run_id, question_id, lease_id, caller_id, idempotency_key, body_sha256, supersedes, "
        "  retraction, choice, surplus, counts, decision_ms, active_ms, loops, client) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, false, $8, $9, $10, $11, $12, $13, $14) RETURNING id",
        lease.run_id, lease.question_id, request.lease_id(), caller.id, request.idempotency_key(), Bytes{body},
        lease.label != 0 ? std::optional<int64_t>(lease.label) : std::nullopt, v1::Choice_Name(choice),
        label.surplus, Counts(lease.purpose, choice, label.surplus), request.timing().decision_ms(),
        request.timing().active_ms(), request.timing().loops(), request.client())[0][0]);
    return label;
  });
}

absl::StatusOr<int64_t> UndoLabel(Connection& connection, const Caller& caller,
                                  const v1::UndoRequest& request) {
  const std::string body = BodyHash(request);
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<int64_t> {
    ASSIGN_OR_RETURN(const HeldLease lease, LockLease(t, caller, request.lease_id()));
    ASSIGN_OR_RETURN(const auto earlier, EarlierLabel(t, caller, request.idempotency_key(), body));
    if (earlier.first != 0 || (lease.label != 0 && lease.retracted)) return lease.run_id;
    if (lease.label == 0) {
      return absl::FailedPreconditionError("there is no answer under this lease to take back");
    }
    t.Exec(
        "INSERT INTO labels (run_id, question_id, lease_id, caller_id, idempotency_key, body_sha256, supersedes, "
        "  retraction, surplus, counts) VALUES ($1, $2, $3, $4, $5, $6, $7, true, $8, false)",
        lease.run_id, lease.question_id, request.lease_id(), caller.id, request.idempotency_key(), Bytes{body},
        lease.label, lease.surplus);
    // The slot stays with the lease, which is live again: it is given back when
    // that ends, once.
    t.Exec(
        "UPDATE leases SET state = 'LIVE', expires_at = now() + lease_ms * interval '1 ms' WHERE id = $1",
        request.lease_id());
    return lease.run_id;
  });
}

absl::StatusOr<int64_t> ExpireLeases(Connection& connection) {
  return connection.Transact([](Transaction& t) -> absl::StatusOr<int64_t> {
    // questions that somebody works on right now are left to the next look
    const pqxx::result locked = t.Exec(
        "SELECT id FROM questions WHERE id IN "
        "  (SELECT question_id FROM leases WHERE state = 'LIVE' AND expires_at <= now()) "
        "ORDER BY id FOR NO KEY UPDATE SKIP LOCKED");
    if (locked.empty()) return 0;
    std::vector<int64_t> ids;
    for (const auto& row : locked) ids.push_back(Int(row[0]));
    const pqxx::result freed = t.Exec(
        "WITH dead AS (SELECT id, holds_slot FROM leases WHERE question_id = ANY ($1::bigint[]) "
        "    AND state = 'LIVE' AND expires_at <= now() ORDER BY id FOR NO KEY UPDATE), "
        "  gone AS (UPDATE leases l SET state = 'EXPIRED', holds_slot = false FROM dead "
        "    WHERE l.id = dead.id AND l.state = 'LIVE' AND l.expires_at <= now() "
        "    RETURNING l.question_id, dead.holds_slot), "
        "  slots AS (SELECT question_id, count(*) FILTER (WHERE holds_slot) AS n FROM gone GROUP BY question_id) "
        "UPDATE questions q SET open_slots = q.open_slots + slots.n FROM slots WHERE q.id = slots.question_id "
        "RETURNING q.id",
        ids);
    if (!freed.empty()) t.Signal(kQuestionsTopic);
    return freed.size();
  });
}

absl::Status NumberLabels(Connection& connection, int64_t run_id) {
  return connection.Transact([&](Transaction& t) -> absl::Status {
    t.Exec("SELECT pg_advisory_xact_lock($1)", kFeedLock | run_id);
    // under the lock, whatever has committed is seen by the statement below
    const pqxx::result counted = t.Exec(
        "WITH fresh AS (SELECT id, (SELECT coalesce(max(position), 0) FROM labels WHERE run_id = $1) "
        "      + row_number() OVER (ORDER BY id) AS place "
        "    FROM labels WHERE run_id = $1 AND position IS NULL), "
        "  numbered AS (UPDATE labels l SET position = fresh.place FROM fresh WHERE l.id = fresh.id "
        "    RETURNING l.counts, l.supersedes, l.position) "
        "SELECT count(*), coalesce(sum(n.counts::integer - coalesce(o.counts, false)::integer), 0), "
        "  coalesce(min(n.position), 0) "
        "FROM numbered n LEFT JOIN labels o ON o.id = n.supersedes",
        run_id);
    if (Int(counted[0][0]) == 0) return absl::OkStatus();
    // Of those that were numbered, not of those without a number before: more may
    // have been committed in between, and would be in the feed without a labeler.
    t.Exec(
        "INSERT INTO run_labelers (run_id, caller_id, number) "
        "SELECT $1, f.caller_id, (SELECT coalesce(max(number), 0) FROM run_labelers WHERE run_id = $1) "
        "    + row_number() OVER (ORDER BY f.first) "
        "FROM (SELECT l.caller_id, min(l.id) AS first FROM labels l WHERE l.run_id = $1 AND l.position >= $2 "
        "  AND NOT EXISTS (SELECT FROM run_labelers n WHERE n.run_id = $1 AND n.caller_id = l.caller_id) "
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
    for (const auto& row :
         t.Exec("SELECT l.position, l.id, q.id, coalesce(q.ordinal, -1), coalesce(q.round, -1), q.purpose, "
                "  coalesce(l.choice, ''), n.number, "
                "  l.surplus, CASE WHEN NOT o.retraction THEN o.id END, l.retraction, s.turned, "
                "  a.id, a.sha256, b.id, b.sha256 "
                "FROM labels l JOIN questions q ON q.id = l.question_id JOIN leases s ON s.id = l.lease_id "
                "JOIN run_labelers n ON n.run_id = l.run_id AND n.caller_id = l.caller_id "
                "JOIN question_clips p ON p.question_id = q.id AND p.position = 0 JOIN clips a ON a.id = p.clip_id "
                "JOIN question_clips r ON r.question_id = q.id AND r.position = 1 JOIN clips b ON b.id = r.clip_id "
                "LEFT JOIN labels o ON o.id = l.supersedes "
                "WHERE l.run_id = $1 AND l.position >= $2 AND l.position < $2 + $3 ORDER BY l.position",
                run_id, from_position, limit)) {
      FeedEntry& item = entries.emplace_back();
      v1::LabelEntry& entry = item.entry;
      entry.set_position(Int(row[0]));
      entry.set_label_id(Int(row[1]));
      entry.set_question_id(Int(row[2]));
      entry.set_ordinal(Int(row[3]));
      entry.set_round(Int(row[4]));
      entry.set_purpose(PurposeOf(row[5]));
      entry.set_labeler(Int(row[7]));
      entry.set_surplus(Bool(row[8]));
      if (!row[9].is_null()) entry.set_supersedes(Int(row[9]));
      entry.set_retraction(Bool(row[10]));
      if (!entry.retraction()) {
        const v1::Choice choice = ChoiceOf(row[6]);
        entry.mutable_answer()->set_choice(Bool(row[11]) ? TurnedChoice(choice) : choice);
      }
      item.clips = {Int(row[12]), Int(row[14])};
      entry.add_clip_ids(Hex(row[13]));
      entry.add_clip_ids(Hex(row[15]));
    }
    return entries;
  });
}

}  // namespace backflip::broker
