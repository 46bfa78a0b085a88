// One connection to PostgreSQL, with transactions whose errors are absl::Status. Only the store
// uses libpqxx, and only connection.cc knows its versions; no exception leaves Transact.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_DB_CONNECTION_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_DB_CONNECTION_H_

#include <google/protobuf/descriptor.h>
#include <google/protobuf/generated_enum_reflection.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <pqxx/pqxx>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/base/mutex.h"

namespace backflip::preference_broker {

// A bytea parameter. Not owned.
struct Bytes {
  absl::string_view data;
};

// A parameter in PostgreSQL's text form.
class Param {
 public:
  Param(std::nullopt_t) {}                                       // NOLINT
  Param(bool value) : text_(value ? "true" : "false") {}         // NOLINT
  Param(int32_t value) : text_(std::to_string(value)) {}         // NOLINT
  Param(int64_t value) : text_(std::to_string(value)) {}         // NOLINT
  Param(double value);                                           // NOLINT
  Param(const char* value) : text_(value) {}                     // NOLINT
  Param(absl::string_view value) : text_(std::string(value)) {}  // NOLINT
  Param(const std::string& value) : text_(value) {}              // NOLINT
  Param(Bytes value);                                            // NOLINT
  // Arrays. Strings must be UTF-8.
  Param(const std::vector<int32_t>& values);      // NOLINT
  Param(const std::vector<int64_t>& values);      // NOLINT
  Param(const std::vector<double>& values);       // NOLINT
  Param(const std::vector<std::string>& values);  // NOLINT

  template <typename T>
  Param(const std::optional<T>& value) {  // NOLINT
    if (value.has_value()) *this = Param(*value);
  }

  // Null for NULL.
  const char* text() const { return text_ ? text_->c_str() : nullptr; }

 private:
  std::optional<std::string> text_;
};

// Values of fields that are not NULL.
int64_t Int(const pqxx::field& field);
double Double(const pqxx::field& field);
bool Bool(const pqxx::field& field);
std::string Text(const pqxx::field& field);
std::string Blob(const pqxx::field& field);
// 64 hexadecimal digits of a bytea.
std::string Hex(const pqxx::field& field);
// Milliseconds since the epoch of a `extract(epoch from …)`; 0 for NULL.
int64_t Millis(const pqxx::field& field);
// The value of a protobuf enum that the field names; the first one (unspecified) for NULL.
template <typename Value>
Value Enum(const pqxx::field& field) {
  const google::protobuf::EnumValueDescriptor* const value =
      google::protobuf::GetEnumDescriptor<Value>()->FindValueByName(field.c_str());
  return static_cast<Value>(value == nullptr ? 0 : value->number());
}
// First columns of the rows.
std::vector<int64_t> Ints(const pqxx::result& rows);

class Connection;

// Exists only inside Transact. Its functions throw libpqxx's exceptions.
class Transaction {
 public:
  // Runs one statement, prepared at its first use on this connection. Statements are known by
  // the address of `sql`, which must be constant: a literal.
  template <typename... Args>
  pqxx::result Exec(const char* sql, const Args&... args) {
    return ExecParams(sql, {Param(args)...});
  }

  // Runs one or more statements without parameters.
  void ExecScript(const std::string& sql);

  // The next statement may take minutes instead of seconds.
  void AllowMinutes();

  // Wakes those who wait for `topic`, once this transaction has committed: in this process
  // directly, in others by NOTIFY. Transactions that signal commit one after another, so those
  // that labelers wait for should not.
  void Signal(const std::string& topic);

 private:
  friend class Connection;
  Transaction(Connection* connection, pqxx::work* work) : connection_(connection), work_(work) {}
  pqxx::result ExecParams(const char* sql, const std::vector<Param>& params);

  Connection* const connection_;
  pqxx::work* const work_;
  std::vector<std::string> topics_;
};

// Not thread-safe, CutIfStuck excepted: each thread has its own. Connects at the first use, and
// again after a loss.
class Connection {
 public:
  // `url` as libpq understands it. `origin` marks the notifications of this
  // process; `on_signal` (may be null) gets the topics of each commit.
  Connection(std::string url, std::string origin,
             std::function<void(const std::string& topic)> on_signal);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Runs `body(Transaction&)`, which returns absl::Status or absl::StatusOr;
  // commits if that is OK and rolls back otherwise. READ COMMITTED. Runs `body` again, a few
  // times, after a deadlock or when another transaction inserted the same key first.
  // UNAVAILABLE: the database cannot be reached, or the commit's outcome is unknown; nothing
  // acknowledged is lost, call again. FAILED_PRECONDITION: the server cannot be used as it is
  // set up. Blocks: at most about as long as a statement may take (20 s) with something that
  // calls CutIfStuck each second, without it as long as the server is silent.
  template <typename Body>
  auto Transact(Body body) -> std::invoke_result_t<Body, Transaction&> {
    std::optional<std::invoke_result_t<Body, Transaction&>> result;
    const absl::Status status = Run([&](Transaction& t) {
      result.emplace(body(t));
      return StatusOf(*result);
    });
    if (!status.ok()) return status;
    return *std::move(result);
  }

  // Breaks the connection if its server has not answered for longer than it may take itself: the
  // statement then fails with UNAVAILABLE, and the next one connects anew. Thread-safe.
  void CutIfStuck();

 private:
  friend class Transaction;
  static absl::Status StatusOf(const absl::Status& status) { return status; }
  template <typename T>
  static absl::Status StatusOf(const absl::StatusOr<T>& result) {
    return result.status();
  }
  absl::Status Run(const std::function<absl::Status(Transaction&)>& body);
  // Throws.
  void Connect();
  void Drop();
  // The server is asked something: it has `patience_` to answer.
  void Expect();

  const std::string url_;
  const std::string origin_;
  const std::function<void(const std::string&)> on_signal_;
  std::unique_ptr<pqxx::connection> connection_;
  // How long the server may take for a statement of this transaction.
  absl::Duration patience_;
  // When it should have answered, as Unix seconds; 0: no transaction is on its way.
  std::atomic<int64_t> answer_by_ = 0;
  // Guards the socket against being closed, and its number used again, while CutIfStuck cuts it.
  base::Mutex socket_mutex_;
  int socket_ ABSL_GUARDED_BY(socket_mutex_) = -1;
  // Statements by the address of their text.
  std::unordered_map<const char*, std::string> prepared_;
  absl::Time retry_at_ = absl::InfinitePast();
  absl::Status last_failure_;
};

// FAILED_PRECONDITION when a pooler stands between here and the database that gives each
// transaction another session (PgBouncer's pool_mode=transaction): prepared statements, NOTIFY and
// settings need one that stays. One that keeps sessions together is no matter. Blocks.
absl::Status CheckSessions(const std::string& url);

// Waits for NOTIFY, and reconnects after a loss. Blocks until `stop` returns true, which it is
// asked twice a second. `on_topic` gets the topics that processes other than `origin` signal.
void ListenForTopics(const std::string& url, const std::string& origin,
                     const std::function<bool()>& stop,
                     const std::function<void(const std::string& topic)>& on_topic);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_DB_CONNECTION_H_
