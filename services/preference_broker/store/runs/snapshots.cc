#include "services/preference_broker/store/runs/snapshots.h"

#include "absl/strings/str_cat.h"
#include "common/base/hash.h"
#include "common/base/log.h"
#include "common/base/status_macros.h"
#include "services/preference_broker/store/db/run_row.h"
#include "services/preference_broker/store/db/topics.h"
#include "services/preference_broker/store/runs/claims.h"

namespace backflip::preference_broker {
namespace {

// How many stay besides those that are kept: enough for a learner that repeats what it did
// since its last checkpoint.
constexpr int64_t kNewestSnapshots = 64;

// Columns of a SnapshotInfo, less run and kind, which every query names.
#define INFO_COLUMNS "version, iteration, steps, labels, sha256, octet_length(data), kept"

v1::SnapshotInfo InfoOf(int64_t run_id, v1::SnapshotKind kind, const pqxx::row& row) {
  v1::SnapshotInfo info;
  info.set_run_id(run_id);
  info.set_kind(kind);
  info.set_version(Int(row[0]));
  info.set_iteration(Int(row[1]));
  info.set_steps(Int(row[2]));
  info.set_labels(Int(row[3]));
  info.set_sha256(Hex(row[4]));
  info.set_size(Int(row[5]));
  info.set_kept(Bool(row[6]));
  return info;
}

}  // namespace

absl::StatusOr<v1::SnapshotInfo> PublishSnapshot(Connection& connection, const Caller& caller,
                                                 int64_t epoch, v1::SnapshotInfo info,
                                                 const std::string& data) {
  const std::string kind = v1::SnapshotKind_Name(info.kind());
  const std::string hash = base::FromHex(info.sha256());
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<v1::SnapshotInfo> {
    RETURN_IF_ERROR(CheckEpoch(t, info.run_id(), caller.role, epoch));
    const pqxx::result same = t.Exec(
        "UPDATE snapshots SET kept = kept OR $5 "
        "WHERE run_id = $1 AND kind = $2 AND iteration = $3 AND sha256 = $4 "
        "RETURNING version, kept",
        info.run_id(), kind, info.iteration(), Bytes{hash}, info.kept());
    if (!same.empty()) {
      info.set_version(Int(same[0][0]));
      info.set_kept(Bool(same[0][1]));
      return info;
    }
    // a trainer that dies after each fit gets no further
    const pqxx::row before = t.Exec(
        "SELECT coalesce(max(iteration), -1), coalesce(max(labels), -1) FROM snapshots "
        "WHERE run_id = $1 AND kind = $2",
        info.run_id(), kind)[0];
    if (info.kind() == v1::REWARD &&
        (info.iteration() > Int(before[0]) || info.labels() > Int(before[1]))) {
      NoteProgress(t, info.run_id(), caller.role);
    }
    // the newest is never dropped, so no version is given twice
    info.set_version(Int(t.Exec(R"sql(
            INSERT INTO snapshots (run_id, kind, version, iteration, steps, labels, sha256, kept,
              data)
            SELECT $1, $2, 1 + coalesce((SELECT max(version) FROM snapshots
              WHERE run_id = $1 AND kind = $2), 0), $3, $4, $5, $6, $7, $8
            RETURNING version)sql",
                                info.run_id(), kind, info.iteration(), info.steps(), info.labels(),
                                Bytes{hash}, info.kept(), Bytes{data})[0][0]));
    t.Exec(
        "DELETE FROM snapshots s USING runs r "
        "WHERE s.run_id = $1 AND s.kind = $2 AND s.version <= $3 "
        "AND NOT s.kept AND r.id = s.run_id AND s.version IS DISTINCT FROM r.best_version",
        info.run_id(), kind, info.version() - kNewestSnapshots);
    t.Signal(SnapshotTopic(info.run_id(), info.kind()));
    return info;
  });
}

absl::StatusOr<Snapshot> GetSnapshot(Connection& connection,
                                     const v1::GetSnapshotRequest& request) {
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<Snapshot> {
    RETURN_IF_ERROR(CheckRunExists(t, request.run_id()));
    const std::string kind = v1::SnapshotKind_Name(request.kind());
    const pqxx::result rows =
        t.Exec("SELECT " INFO_COLUMNS
               ", data FROM snapshots WHERE run_id = $1 AND kind = $2 "
               "AND ($3::bigint = 0 OR version = $3) AND ($4::bigint IS NULL OR iteration = $4) "
               "ORDER BY version DESC LIMIT 1",
               request.run_id(), kind, request.version(),
               request.version() == 0 && request.has_iteration()
                   ? std::optional<int64_t>(request.iteration())
                   : std::nullopt);
    if (rows.empty()) {
      std::string which = "none yet";
      if (request.version() != 0) {
        which = absl::StrCat("no version ", request.version());
      } else if (request.has_iteration()) {
        which = absl::StrCat("none of iteration ", request.iteration());
      }
      return absl::NotFoundError(
          absl::StrCat("run ", request.run_id(), " has no such ", kind, " snapshot: ", which));
    }
    return Snapshot{InfoOf(request.run_id(), request.kind(), rows[0]), Blob(rows[0][7])};
  });
}

absl::StatusOr<std::optional<Snapshot>> GetSnapshotAfter(Connection& connection, int64_t run_id,
                                                         v1::SnapshotKind kind, int64_t version) {
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<std::optional<Snapshot>> {
    RETURN_IF_ERROR(CheckRunExists(t, run_id));
    const pqxx::result rows =
        t.Exec("SELECT " INFO_COLUMNS
               ", data FROM snapshots WHERE run_id = $1 AND kind = $2 AND version > $3 "
               "ORDER BY version DESC LIMIT 1",
               run_id, v1::SnapshotKind_Name(kind), version);
    if (rows.empty()) return std::nullopt;
    return Snapshot{InfoOf(run_id, kind, rows[0]), Blob(rows[0][7])};
  });
}

absl::StatusOr<std::vector<v1::SnapshotInfo>> ListSnapshots(
    Connection& connection, const v1::ListSnapshotsRequest& request) {
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<std::vector<v1::SnapshotInfo>> {
    RETURN_IF_ERROR(CheckRunExists(t, request.run_id()));
    std::vector<v1::SnapshotInfo> infos;
    for (const auto& row :
         t.Exec("SELECT " INFO_COLUMNS " FROM snapshots WHERE run_id = $1 AND kind = $2 "
                "AND (kept OR NOT $3::boolean) ORDER BY version",
                request.run_id(), v1::SnapshotKind_Name(request.kind()), request.kept_only())) {
      infos.push_back(InfoOf(request.run_id(), request.kind(), row));
    }
    return infos;
  });
}

absl::Status SetBest(Connection& connection, const Caller& caller,
                     const v1::SetBestRequest& request) {
  return connection.Transact([&](Transaction& t) -> absl::Status {
    RETURN_IF_ERROR(CheckEpoch(t, request.run_id(), caller.role, request.epoch()));
    if (t.Exec("UPDATE snapshots SET kept = true "
               "WHERE run_id = $1 AND kind = 'POLICY' AND version = $2 RETURNING version",
               request.run_id(), request.version())
            .empty()) {
      return absl::NotFoundError(absl::StrCat(
          "run ", request.run_id(), " has no policy snapshot of version ", request.version()));
    }
    t.Exec("UPDATE runs SET best_version = $2 WHERE id = $1", request.run_id(), request.version());
    TouchRun(t, request.run_id());
    return absl::OkStatus();
  });
}

absl::Status SaveCheckpoint(Connection& connection, const Caller& caller, int64_t epoch,
                            const v1::CheckpointInfo& info, const std::string& data) {
  const std::string bytes = info.SerializeAsString();
  return connection.Transact([&](Transaction& t) -> absl::Status {
    RETURN_IF_ERROR(CheckEpoch(t, info.run_id(), caller.role, epoch));
    t.Exec(
        "INSERT INTO checkpoints (run_id, role, iteration, info, data) VALUES ($1, $2, $3, $4, $5) "
        "ON CONFLICT (run_id, role, iteration) DO UPDATE "
        "SET info = excluded.info, data = excluded.data, saved_at = now()",
        info.run_id(), RoleName(caller.role), info.iteration(), Bytes{bytes}, Bytes{data});
    t.Exec(R"sql(
        DELETE FROM checkpoints WHERE run_id = $1 AND role = $2 AND iteration <
          (SELECT min(iteration) FROM (SELECT iteration FROM checkpoints
             WHERE run_id = $1 AND role = $2 ORDER BY iteration DESC LIMIT 2) newest))sql",
           info.run_id(), RoleName(caller.role));
    return absl::OkStatus();
  });
}

absl::StatusOr<std::pair<v1::CheckpointInfo, std::string>> LoadCheckpoint(
    Connection& connection, const Caller& caller, const v1::LoadCheckpointRequest& request) {
  using Result = absl::StatusOr<std::pair<v1::CheckpointInfo, std::string>>;
  return connection.Transact([&](Transaction& t) -> Result {
    RETURN_IF_ERROR(CheckRunExists(t, request.run_id()));
    const std::string role(RoleName(caller.role));
    std::optional<int64_t> before;
    if (request.has_before_iteration()) before = request.before_iteration();
    bool damaged = false;
    // one after the other: each may have 256 MB
    while (true) {
      const pqxx::result rows = t.Exec(
          "SELECT info, data, iteration FROM checkpoints WHERE run_id = $1 AND role = $2 "
          "AND ($3::bigint IS NULL OR iteration < $3) ORDER BY iteration DESC LIMIT 1",
          request.run_id(), role, before);
      if (rows.empty()) break;
      std::pair<v1::CheckpointInfo, std::string> checkpoint;
      checkpoint.second = Blob(rows[0][1]);
      if (checkpoint.first.ParseFromString(Blob(rows[0][0])) &&
          base::Sha256Hex(checkpoint.second) == checkpoint.first.sha256()) {
        return checkpoint;
      }
      damaged = true;
      before = Int(rows[0][2]);
      base::LogError("a checkpoint in the database is damaged",
                     {{"run", request.run_id()}, {"role", role}, {"iteration", *before}});
    }
    if (damaged) {
      return absl::DataLossError(absl::StrCat("every ", role, " checkpoint of run ",
                                              request.run_id(),
                                              " is damaged: restore the database from a backup"));
    }
    return absl::NotFoundError(
        absl::StrCat("run ", request.run_id(), " has no ", role, " checkpoint",
                     request.has_before_iteration() ? " before that" : " yet"));
  });
}

#undef INFO_COLUMNS

}  // namespace backflip::preference_broker
