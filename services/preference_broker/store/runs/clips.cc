#include "services/preference_broker/store/runs/clips.h"

#include <zstd.h>

#include <algorithm>
#include <bit>
#include <map>
#include <memory>
#include <unordered_map>

#include "absl/strings/str_cat.h"
#include "common/base/hash.h"
#include "common/base/status_macros.h"
#include "common/options/run_spec.h"
#include "services/preference_broker/store/db/run_row.h"
#include "services/preference_broker/store/runs/claims.h"

namespace backflip::preference_broker {
namespace {

// How many batches a trainer may be behind the newest and still find all candidates that it
// would have chosen from: its checkpoints are 10 batches apart.
constexpr int64_t kTrainerBehind = 12;
// Twice the most that collection.clips_per_batch may be.
constexpr int64_t kMostClipsOfBatch = 8192;
// A part is at most one upload, uncompressed.
constexpr size_t kMaxPartBytes = 8 << 20;

static_assert(std::endian::native == std::endian::little, "clip keys hash little-endian numbers");

template <typename T>
void AppendNumber(T value, std::string* bytes) {
  bytes->append(reinterpret_cast<const char*>(&value), sizeof(value));
}

template <typename Field>
void AppendArray(const Field& values, std::string* bytes) {
  AppendNumber<uint32_t>(values.size(), bytes);
  bytes->append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(values[0]));
}

struct ZstdFree {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

std::string PackPart(const v1::Clip& part) {
  thread_local const std::unique_ptr<ZSTD_CCtx, ZstdFree> context(ZSTD_createCCtx());
  const std::string bytes = part.SerializeAsString();
  std::string packed(ZSTD_compressBound(bytes.size()), '\0');
  packed.resize(ZSTD_compressCCtx(context.get(), packed.data(), packed.size(), bytes.data(),
                                  bytes.size(), /*compressionLevel=*/1));
  return packed;
}

}  // namespace

std::string ClipKey(const v1::Clip& clip) {
  std::string bytes = "backflip.clip.1\n";
  AppendNumber<int32_t>(clip.steps(), &bytes);
  AppendNumber<int64_t>(clip.policy_version(), &bytes);
  AppendNumber<int64_t>(clip.iteration(), &bytes);
  AppendNumber<int32_t>(clip.ticket(), &bytes);
  AppendNumber<int32_t>(clip.index(), &bytes);
  AppendArray(clip.observations(), &bytes);
  AppendArray(clip.actions(), &bytes);
  AppendArray(clip.states(), &bytes);
  AppendArray(clip.true_rewards(), &bytes);
  AppendNumber<int32_t>(clip.poses().bodies(), &bytes);
  AppendArray(clip.poses().poses(), &bytes);
  if (!clip.rubric().empty()) AppendArray(clip.rubric(), &bytes);
  return base::Sha256(bytes);
}

PackedClip PackClip(const v1::Clip& clip) {
  PackedClip packed;
  packed.key = ClipKey(clip);
  packed.iteration = clip.iteration();
  packed.ticket = clip.ticket();
  packed.index = clip.index();
  v1::Clip behaviour;
  behaviour.set_steps(clip.steps());
  *behaviour.mutable_observations() = clip.observations();
  *behaviour.mutable_actions() = clip.actions();
  behaviour.set_policy_version(clip.policy_version());
  behaviour.set_iteration(clip.iteration());
  behaviour.set_ticket(clip.ticket());
  behaviour.set_index(clip.index());
  packed.behaviour = PackPart(behaviour);
  v1::Clip picture;
  picture.set_steps(clip.steps());
  *picture.mutable_poses() = clip.poses();
  packed.picture = PackPart(picture);
  v1::Clip physics;
  *physics.mutable_states() = clip.states();
  packed.physics = PackPart(physics);
  if (!clip.true_rewards().empty() || !clip.rubric().empty()) {
    v1::Clip truth;
    *truth.mutable_true_rewards() = clip.true_rewards();
    *truth.mutable_rubric() = clip.rubric();
    packed.truth = PackPart(truth);
  }
  return packed;
}

absl::Status UnpackPart(const std::string& part, v1::Clip* clip) {
  thread_local const std::unique_ptr<ZSTD_DCtx, ZstdFree> context(ZSTD_createDCtx());
  const unsigned long long size = ZSTD_getFrameContentSize(part.data(), part.size());
  if (size > kMaxPartBytes) return absl::DataLossError("a stored clip is damaged: no size");
  std::string bytes(size, '\0');
  const size_t got =
      ZSTD_decompressDCtx(context.get(), bytes.data(), bytes.size(), part.data(), part.size());
  if (ZSTD_isError(got) || got != size || !clip->MergeFromString(bytes)) {
    return absl::DataLossError("a stored clip is damaged: it does not unpack");
  }
  return absl::OkStatus();
}

absl::Status ShowClip(const pqxx::field& picture, const pqxx::field& truth, v1::ShownClip* shown) {
  v1::Clip clip;
  RETURN_IF_ERROR(UnpackPart(Blob(picture), &clip));
  if (!truth.is_null()) RETURN_IF_ERROR(UnpackPart(Blob(truth), &clip));
  shown->set_steps(clip.steps());
  *shown->mutable_poses() = std::move(*clip.mutable_poses());
  *shown->mutable_true_rewards() = std::move(*clip.mutable_true_rewards());
  *shown->mutable_rubric() = std::move(*clip.mutable_rubric());
  return absl::OkStatus();
}

std::optional<int64_t> StoreClip(Transaction& t, int64_t run_id, const PackedClip& clip,
                                 bool candidate, int64_t worker) {
  const pqxx::result stored = t.Exec(
      R"sql(
      INSERT INTO clips (run_id, sha256, iteration, ticket, index, behaviour, picture, physics,
        truth, candidate, worker)
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10,
        coalesce((SELECT name FROM callers WHERE id = $11), '')) ON CONFLICT (run_id, sha256) DO NOTHING
      RETURNING id)sql",
      run_id, Bytes{clip.key}, clip.iteration, clip.ticket, clip.index, Bytes{clip.behaviour},
      Bytes{clip.picture}, Bytes{clip.physics},
      clip.truth.empty() ? std::nullopt : std::optional<Bytes>(Bytes{clip.truth}), candidate,
      worker);
  return stored.empty() ? std::nullopt : std::optional<int64_t>(Int(stored[0][0]));
}

absl::StatusOr<int32_t> StoreClips(Connection& connection, const Caller& caller, int64_t run_id,
                                   const std::vector<PackedClip>& clips) {
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<int32_t> {
    std::map<int64_t, int64_t> by_iteration;
    for (const PackedClip& clip : clips) ++by_iteration[clip.iteration];
    for (const auto& [iteration, count] : by_iteration) {
      RETURN_IF_ERROR(CheckServes(t, caller, run_id, iteration));
      const int64_t stored =
          Int(t.Exec("SELECT count(*) FROM clips WHERE run_id = $1 AND iteration = $2", run_id,
                     iteration)[0][0]);
      if (stored + count > kMostClipsOfBatch) {
        return absl::FailedPreconditionError(absl::StrCat("batch ", iteration, " of run ", run_id,
                                                          " has ", stored, " clips, and at most ",
                                                          kMostClipsOfBatch, " are taken"));
      }
    }
    // a statement for each row: PostgreSQL takes twice as long to read the same bytes as arrays
    for (const PackedClip& clip : clips) StoreClip(t, run_id, clip, /*candidate=*/true, caller.id);
    const pqxx::result rows = t.Exec(R"sql(
        SELECT r.spec, r.labels
          + (SELECT coalesce(sum(q.open_slots), 0) FROM questions q
             WHERE q.run_id = r.id AND q.open_slots > 0 AND q.purpose = 'TRAIN')
          + (SELECT count(*) FROM leases l JOIN questions q ON q.id = l.question_id
             WHERE q.run_id = r.id AND l.state = 'LIVE' AND q.purpose = 'TRAIN')
        FROM runs r WHERE r.id = $1)sql",
                                     run_id);
    if (rows.empty()) return UnknownRun(run_id);
    const v1::RunSpec spec = options::StoredSpec(Blob(rows[0][0]));
    // The trainer normalises on candidates too, so in lockstep their number may not depend on
    // when answers came.
    const bool spent = !spec.lockstep() && Int(rows[0][1]) >= spec.labels();
    return spent ? 0 : spec.collection().clips_per_batch();
  });
}

absl::StatusOr<std::vector<int64_t>> ListCandidates(Connection& connection, int64_t run_id,
                                                    int64_t after_iteration, int64_t max_iteration,
                                                    int32_t limit) {
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<std::vector<int64_t>> {
    RETURN_IF_ERROR(CheckRunExists(t, run_id));
    std::vector<int64_t> ids =
        Ints(t.Exec("SELECT id FROM clips "
                    "WHERE run_id = $1 AND iteration > $2 AND iteration <= $3 AND candidate "
                    "ORDER BY iteration DESC, ticket DESC, index DESC, sha256 DESC LIMIT $4",
                    run_id, after_iteration, max_iteration, limit));
    std::reverse(ids.begin(), ids.end());
    return ids;
  });
}

absl::StatusOr<std::vector<v1::Candidate>> ReadCandidates(Connection& connection,
                                                          const std::vector<int64_t>& ids,
                                                          bool true_rewards) {
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<std::vector<v1::Candidate>> {
    const pqxx::result rows = t.Exec(
        "SELECT c.sha256, c.behaviour, CASE WHEN $2::boolean THEN c.truth END "
        "FROM unnest($1::bigint[]) WITH ORDINALITY AS u(id, place) "
        "JOIN clips c ON c.id = u.id ORDER BY u.place",
        ids, true_rewards);
    std::vector<v1::Candidate> candidates(rows.size());
    for (size_t i = 0; i < candidates.size(); ++i) {
      candidates[i].set_clip_id(Hex(rows[i][0]));
      v1::Clip* const clip = candidates[i].mutable_clip();
      RETURN_IF_ERROR(UnpackPart(Blob(rows[i][1]), clip));
      if (!rows[i][2].is_null()) RETURN_IF_ERROR(UnpackPart(Blob(rows[i][2]), clip));
      clip->clear_rubric();
    }
    return candidates;
  });
}

absl::StatusOr<int64_t> PruneClips(Connection& connection, int64_t run_id) {
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<int64_t> {
    const pqxx::result runs = t.Exec("SELECT spec, iterations FROM runs WHERE id = $1", run_id);
    if (runs.empty()) return UnknownRun(run_id);
    const v1::RunSpec spec = options::StoredSpec(Blob(runs[0][0]));
    // SKIP LOCKED: a round that is being opened holds the clips it names.
    const pqxx::result deleted = t.Exec(
        "WITH oldest AS (SELECT iteration, ticket, index FROM clips "
        "    WHERE run_id = $1 AND iteration < $2 AND candidate "
        "    ORDER BY iteration DESC, ticket DESC, index DESC OFFSET $3 LIMIT 1), "
        "  spare AS (SELECT c.id FROM clips c, oldest o WHERE c.run_id = $1 AND c.candidate "
        "    AND (c.iteration, c.ticket, c.index) <= (o.iteration, o.ticket, o.index) "
        "    AND NOT EXISTS (SELECT FROM question_clips q WHERE q.clip_id = c.id) "
        "    AND NOT EXISTS (SELECT FROM gold_pairs g WHERE c.id IN (g.first_clip, g.second_clip)) "
        "    FOR UPDATE OF c SKIP LOCKED) "
        "DELETE FROM clips c USING spare WHERE c.id = spare.id RETURNING c.id",
        run_id, Int(runs[0][1]) - kTrainerBehind, spec.queries().pool());
    return deleted.size();
  });
}

}  // namespace backflip::preference_broker
