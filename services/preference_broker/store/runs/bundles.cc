#include "services/preference_broker/store/runs/bundles.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/base/hash.h"
#include "common/rpc/limits.h"

namespace backflip::preference_broker {

absl::Status PutBundle(Connection& connection, const std::string& sha256, const std::string& data) {
  const std::string hash = base::FromHex(sha256);
  return connection.Transact([&](Transaction& t) -> absl::Status {
    const pqxx::result made = t.Exec(
        "INSERT INTO bundles (sha256, size) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING size",
        Bytes{hash}, static_cast<int64_t>(data.size()));
    if (made.empty()) return absl::OkStatus();
    int32_t index = 0;
    for (size_t at = 0; at < data.size(); at += rpc::kChunkBytes) {
      t.Exec("INSERT INTO bundle_chunks (bundle, index, data) VALUES ($1, $2, $3)", Bytes{hash},
             index++, Bytes{absl::string_view(data).substr(at, rpc::kChunkBytes)});
    }
    return absl::OkStatus();
  });
}

absl::StatusOr<std::optional<std::string>> GetBundleChunk(Connection& connection,
                                                          const std::string& sha256,
                                                          int32_t index) {
  const std::string hash = base::FromHex(sha256);
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<std::optional<std::string>> {
    const pqxx::result rows = t.Exec(
        "SELECT data FROM bundle_chunks WHERE bundle = $1 AND index = $2", Bytes{hash}, index);
    if (!rows.empty()) return Blob(rows[0][0]);
    if (index == 0) return absl::NotFoundError(absl::StrCat("there is no task bundle ", sha256));
    return std::nullopt;
  });
}

}  // namespace backflip::preference_broker
