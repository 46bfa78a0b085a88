#include "services/preference_broker/store/runs/scenes.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/base/hash.h"

namespace backflip::preference_broker {

absl::StatusOr<std::string> PutScene(Connection& connection, const std::string& glb) {
  const std::string hash = base::Sha256(glb);
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<std::string> {
    t.Exec("INSERT INTO scenes (sha256, glb) VALUES ($1, $2) ON CONFLICT DO NOTHING", Bytes{hash},
           Bytes{glb});
    return absl::BytesToHexString(hash);
  });
}

absl::StatusOr<std::string> GetScene(Connection& connection, const std::string& hash) {
  const std::string key = base::FromHex(hash);
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<std::string> {
    const pqxx::result rows = t.Exec("SELECT glb FROM scenes WHERE sha256 = $1", Bytes{key});
    if (rows.empty()) return absl::NotFoundError(absl::StrCat("there is no scene ", hash));
    return Blob(rows[0][0]);
  });
}

absl::Status CheckSceneExists(Transaction& t, const std::string& hash) {
  const std::string key = base::FromHex(hash);
  if (!t.Exec("SELECT FROM scenes WHERE sha256 = $1", Bytes{key}).empty()) return absl::OkStatus();
  return absl::NotFoundError(absl::StrCat(
      "the scene ", hash, " is not stored here: put it with BundleService.PutScene first"));
}

}  // namespace backflip::preference_broker
