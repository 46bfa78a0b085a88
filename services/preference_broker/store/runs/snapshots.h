// Snapshots and checkpoints.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_RUNS_SNAPSHOTS_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_RUNS_SNAPSHOTS_H_

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "backflip/v1/snapshot.pb.h"
#include "services/preference_broker/store/db/connection.h"
#include "services/preference_broker/store/people/callers.h"

namespace backflip::preference_broker {

// `info.version` is ignored; size and hash were checked against `data`. Drops snapshots that
// are neither kept, nor the best, nor among the newest.
absl::StatusOr<v1::SnapshotInfo> PublishSnapshot(Connection& connection, const Caller& caller,
                                                 int64_t epoch, v1::SnapshotInfo info,
                                                 const std::string& data);

struct Snapshot {
  v1::SnapshotInfo info;
  std::string data;
};
// NOT_FOUND: no such snapshot, or no longer.
absl::StatusOr<Snapshot> GetSnapshot(Connection& connection, const v1::GetSnapshotRequest& request);
// The newest one after a version; nullopt when there is none.
absl::StatusOr<std::optional<Snapshot>> GetSnapshotAfter(Connection& connection, int64_t run_id,
                                                         v1::SnapshotKind kind, int64_t version);
absl::StatusOr<std::vector<v1::SnapshotInfo>> ListSnapshots(
    Connection& connection, const v1::ListSnapshotsRequest& request);
absl::Status SetBest(Connection& connection, const Caller& caller,
                     const v1::SetBestRequest& request);

absl::Status SaveCheckpoint(Connection& connection, const Caller& caller, int64_t epoch,
                            const v1::CheckpointInfo& info, const std::string& data);
// The newest whole one that is asked for. NOT_FOUND: there is none; DATA_LOSS: none is whole.
absl::StatusOr<std::pair<v1::CheckpointInfo, std::string>> LoadCheckpoint(
    Connection& connection, const Caller& caller, const v1::LoadCheckpointRequest& request);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_RUNS_SNAPSHOTS_H_
