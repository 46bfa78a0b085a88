#include "services/preference_broker/store/db/connection.h"

#include <charconv>
#include <cmath>
#include <cstring>
#include <thread>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "common/base/hash.h"
#include "common/base/log.h"

namespace backflip::preference_broker {
namespace {

constexpr char kChannel[] = "backflip";
// How often a database that cannot be reached is tried again. Calls in between fail at once
// instead of queueing up.
constexpr absl::Duration kReconnectAfter = absl::Milliseconds(200);
constexpr int kAttempts = 5;

// Waits are short by design; these limits keep one that is stuck from blocking a connection for
// ever.
constexpr char kSession[] =
    "SET statement_timeout = '20s'; SET lock_timeout = '8s'; "
    "SET idle_in_transaction_session_timeout = '60s'; SET client_min_messages = warning";

std::string FormatDouble(double value) {
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), value);
  return std::string(buffer, end.ptr);
}

std::string ByteaText(absl::string_view data) {
  return absl::StrCat("\\x", absl::BytesToHexString(absl::string_view(data.data(), data.size())));
}

template <typename Values, typename Format>
std::string ArrayText(const Values& values, Format format) {
  std::string text = "{";
  for (const auto& value : values) {
    if (text.size() > 1) text += ',';
    text += format(value);
  }
  text += '}';
  return text;
}

std::string Quoted(absl::string_view value) {
  std::string text = "\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') text += '\\';
    text += c;
  }
  text += '"';
  return text;
}

pqxx::result ExecPrepared(pqxx::work& work, const std::string& name,
                          const std::vector<Param>& params) {
#if PQXX_VERSION_MAJOR < 7
  std::vector<const char*> texts;
  texts.reserve(params.size());
  for (const Param& param : params) texts.push_back(param.text());
  return work.exec_prepared(name, pqxx::prepare::make_dynamic_params(texts));
#else
  pqxx::params texts;
  texts.reserve(params.size());
  for (const Param& param : params) {
    if (param.text() == nullptr) {
      texts.append();
    } else {
      texts.append(pqxx::zview(param.text(), std::strlen(param.text())));
    }
  }
  return work.exec(pqxx::prepped{name}, texts);
#endif
}

// Whether the same transaction may succeed when it is run again right away.
bool WorthAnotherTry(absl::string_view sqlstate) {
  return sqlstate == "40001"      // serialization failure
         || sqlstate == "40P01"   // deadlock
         || sqlstate == "23505";  // another transaction inserted the same key first
}

absl::Status FromSqlError(absl::string_view sqlstate, const std::string& what) {
  if (absl::StartsWith(sqlstate, "08") || absl::StartsWith(sqlstate, "57P") ||
      sqlstate == "53300") {
    return absl::UnavailableError(absl::StrCat("the database is away: ", what));
  }
  if (sqlstate == "55P03" || sqlstate == "57014") {
    return absl::UnavailableError(absl::StrCat("the database took too long: ", what));
  }
  if (absl::StartsWith(sqlstate, "53")) {
    return absl::UnavailableError(absl::StrCat("the database is out of room: ", what));
  }
  if (WorthAnotherTry(sqlstate)) {
    return absl::UnavailableError(absl::StrCat("other calls changed the same rows: ", what));
  }
  return absl::InternalError(absl::StrCat("database error ", std::string(sqlstate), ": ", what));
}

}  // namespace

Param::Param(double value) : text_(FormatDouble(value)) {}
Param::Param(Bytes value) : text_(ByteaText(value.data)) {}
Param::Param(const std::vector<int32_t>& values)
    : text_(ArrayText(values, [](int32_t v) { return std::to_string(v); })) {}
Param::Param(const std::vector<int64_t>& values)
    : text_(ArrayText(values, [](int64_t v) { return std::to_string(v); })) {}
Param::Param(const std::vector<double>& values) : text_(ArrayText(values, FormatDouble)) {}
Param::Param(const std::vector<std::string>& values) : text_(ArrayText(values, Quoted)) {}

int64_t Int(const pqxx::field& field) { return field.as<int64_t>(); }
double Double(const pqxx::field& field) { return field.as<double>(); }
bool Bool(const pqxx::field& field) { return field.as<bool>(); }
std::string Text(const pqxx::field& field) { return std::string(field.c_str(), field.size()); }
std::string Blob(const pqxx::field& field) { return base::FromHex(Hex(field)); }

std::string Hex(const pqxx::field& field) {
  absl::string_view text(field.c_str(), field.size());
  absl::ConsumePrefix(&text, "\\x");
  return std::string(text);
}

int64_t Millis(const pqxx::field& field) {
  return field.is_null() ? 0 : std::llround(Double(field) * 1000);
}

std::vector<int64_t> Ints(const pqxx::result& rows) {
  std::vector<int64_t> values;
  values.reserve(rows.size());
  for (const auto& row : rows) values.push_back(Int(row[0]));
  return values;
}

pqxx::result Transaction::ExecParams(const char* sql, const std::vector<Param>& params) {
  std::string& name = connection_->prepared_[sql];
  if (name.empty()) {
    name = absl::StrCat("s", connection_->prepared_.size());
    connection_->connection_->prepare(name, sql);
  }
  return ExecPrepared(*work_, name, params);
}

void Transaction::Signal(const std::string& topic) {
  Exec("SELECT pg_notify($1, $2)", kChannel, absl::StrCat(connection_->origin_, " ", topic));
  topics_.push_back(topic);
}

Connection::Connection(std::string url, std::string origin,
                       std::function<void(const std::string&)> on_signal)
    : url_(std::move(url)), origin_(std::move(origin)), on_signal_(std::move(on_signal)) {}

Connection::~Connection() { Drop(); }

void Connection::Connect() {
  if (connection_ != nullptr) return;
  connection_ = std::make_unique<pqxx::connection>(url_);
#if PQXX_VERSION_MAJOR < 7
  // no new session behind our back: it would lack the settings below
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  connection_->inhibit_reactivation(true);
#pragma GCC diagnostic pop
#endif
  pqxx::nontransaction(*connection_).exec(kSession);
}

void Connection::Drop() {
  connection_.reset();
  prepared_.clear();
}

absl::Status Connection::Run(const std::function<absl::Status(Transaction&)>& body) {
  absl::Status status;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    if (connection_ == nullptr && absl::Now() < retry_at_) return last_failure_;
    bool again = false;
    try {
      Connect();
      pqxx::work work(*connection_);
      Transaction transaction(this, &work);
      status = body(transaction);
      if (!status.ok()) return status;
      work.commit();
      if (on_signal_) {
        for (const std::string& topic : transaction.topics_) on_signal_(topic);
      }
      return status;
    } catch (const pqxx::in_doubt_error& error) {
      status = absl::UnavailableError(
          absl::StrCat("the database went away during a commit; call again: ", error.what()));
      Drop();
    } catch (const pqxx::broken_connection& error) {
      status = absl::UnavailableError(absl::StrCat("the database is away: ", error.what()));
      // an idle connection may have been lost long ago: try a fresh one at once
      again = connection_ != nullptr && attempt == 0;
      Drop();
    } catch (const pqxx::transaction_rollback& error) {
      // a deadlock or a serialization failure, which is no sql_error before version 7
      status = FromSqlError("40001", error.what());
      again = true;
    } catch (const pqxx::sql_error& error) {
      status = FromSqlError(error.sqlstate(), error.what());
      again = WorthAnotherTry(error.sqlstate());
      if (absl::StartsWith(error.sqlstate(), "57P") || !connection_->is_open()) Drop();
    } catch (const std::exception& error) {
      // libpqxx reports some losses of the connection as a plain failure
      if (connection_ == nullptr || !connection_->is_open()) {
        status = absl::UnavailableError(absl::StrCat("the database is away: ", error.what()));
        Drop();
      } else {
        status = absl::InternalError(absl::StrCat("database error: ", error.what()));
      }
    }
    if (connection_ == nullptr) {
      retry_at_ = again ? absl::InfinitePast() : absl::Now() + kReconnectAfter;
      last_failure_ = status;
    }
    if (!again) break;
  }
  if (absl::IsInternal(status)) base::LogError("database error", {{"error", status.message()}});
  return status;
}

namespace {

class Receiver : public pqxx::notification_receiver {
 public:
  // 7.10 has a newer way, which 6.4 lacks.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  Receiver(pqxx::connection& connection, const std::string& origin,
           const std::function<void(const std::string&)>& on_topic)
      : pqxx::notification_receiver(connection, kChannel), origin_(origin), on_topic_(on_topic) {}
#pragma GCC diagnostic pop

  void operator()(const std::string& payload, int) override {
    const size_t space = payload.find(' ');
    if (space == std::string::npos || payload.substr(0, space) == origin_) return;
    on_topic_(payload.substr(space + 1));
  }

 private:
  const std::string& origin_;
  const std::function<void(const std::string&)>& on_topic_;
};

}  // namespace

void ListenForTopics(const std::string& url, const std::string& origin,
                     const std::function<bool()>& stop,
                     const std::function<void(const std::string&)>& on_topic) {
  while (!stop()) {
    try {
      pqxx::connection connection(url);
      Receiver receiver(connection, origin, on_topic);
      while (!stop()) connection.await_notification(0, 500'000);
    } catch (const std::exception&) {
      // readers poll meanwhile
      absl::SleepFor(absl::Milliseconds(500));
    }
  }
}

}  // namespace backflip::preference_broker
