#include "services/preference_broker/store/db/connection.h"

#include <sys/socket.h>

#include <charconv>
#include <cmath>
#include <cstring>
#include <thread>
#include <utility>

#include "absl/cleanup/cleanup.h"
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
    "SET idle_in_transaction_session_timeout = '60s'; SET client_min_messages = warning; "
    // what is acknowledged is on disk, whatever the server's default is
    "SELECT set_config('synchronous_commit', 'on', false) "
    "WHERE current_setting('synchronous_commit') IN ('off', 'local')";
// A server that says nothing for so much longer than its own limit is stuck, or out of reach.
constexpr absl::Duration kPatience = absl::Seconds(25);
constexpr absl::Duration kLongPatience = absl::Seconds(5 * 60 + 5);

// Of libpq, where the URL says nothing of them: a peer that is gone is noticed within seconds.
constexpr std::pair<const char*, const char*> kNetwork[] = {{"connect_timeout", "5"},
                                                            {"tcp_user_timeout", "10000"},
                                                            {"keepalives_idle", "5"},
                                                            {"keepalives_interval", "2"},
                                                            {"keepalives_count", "3"}};

std::string WithNetworkLimits(std::string url) {
  const bool is_url = absl::StrContains(url, "://");
  for (const auto& [name, value] : kNetwork) {
    if (absl::StrContains(url, name)) continue;
    const char* const separator = !is_url ? " " : absl::StrContains(url, '?') ? "&" : "?";
    absl::StrAppend(&url, separator, name, "=", value);
  }
  return url;
}

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

// States of the server that pass, or that another session does not have; the request is not to
// blame.
bool IsServersTrouble(absl::string_view sqlstate) {
  for (const char* passing : {
           "25006",  // read-only: it was demoted by a failover
           "25P03",  // an idle transaction was ended
           "26000",  // a prepared statement is gone: a pooler gave another session
           "40",     // other rollbacks
           "55",     // an object is in use, or not in the state that is needed
           "57",     // an operator intervened
           "58",     // the system: disk, files
           "XX000",  // an internal error
       }) {
    if (absl::StartsWith(sqlstate, passing)) return true;
  }
  return false;
}

bool NeedsNewSession(absl::string_view sqlstate) {
  return absl::StartsWith(sqlstate, "57P") || sqlstate == "25006" || sqlstate == "26000";
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
  if (IsServersTrouble(sqlstate)) {
    return absl::UnavailableError(
        absl::StrCat("the database cannot do it now (", std::string(sqlstate), "): ", what));
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

void Transaction::ExecScript(const std::string& sql) {
  connection_->Expect();
  work_->exec(sql);
}

void Transaction::AllowMinutes() {
  ExecScript("SET LOCAL statement_timeout = '5min'");
  connection_->patience_ = kLongPatience;
}

pqxx::result Transaction::ExecParams(const char* sql, const std::vector<Param>& params) {
  connection_->Expect();
  const auto known = connection_->prepared_.find(sql);
  std::string name;
  if (known != connection_->prepared_.end()) {
    name = known->second;
  } else {
    name = absl::StrCat("s", connection_->prepared_.size());
    connection_->connection_->prepare(name, sql);
    connection_->prepared_[sql] = name;
  }
  return ExecPrepared(*work_, name, params);
}

void Transaction::Signal(const std::string& topic) {
  Exec("SELECT pg_notify($1, $2)", kChannel, absl::StrCat(connection_->origin_, " ", topic));
  topics_.push_back(topic);
}

Connection::Connection(std::string url, std::string origin,
                       std::function<void(const std::string&)> on_signal)
    : url_(WithNetworkLimits(std::move(url))),
      origin_(std::move(origin)),
      on_signal_(std::move(on_signal)) {}

Connection::~Connection() { Drop(); }

void Connection::Connect() {
  if (connection_ != nullptr) return;
  Expect();
  // kept once it has its settings
  auto made = std::make_unique<pqxx::connection>(url_);
#if PQXX_VERSION_MAJOR < 7
  // no new session behind our back: it would lack the settings below
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  made->inhibit_reactivation(true);
#pragma GCC diagnostic pop
#endif
  {
    base::MutexLock lock(&socket_mutex_);
    socket_ = made->sock();
  }
  connection_ = std::move(made);
  try {
    pqxx::nontransaction(*connection_).exec(kSession);
  } catch (const std::exception&) {
    Drop();
    throw;
  }
}

void Connection::Drop() {
  {
    base::MutexLock lock(&socket_mutex_);
    socket_ = -1;
  }
  connection_.reset();
  prepared_.clear();
}

void Connection::Expect() { answer_by_ = absl::ToUnixSeconds(absl::Now() + patience_); }

void Connection::CutIfStuck() {
  const int64_t answer_by = answer_by_;
  if (answer_by == 0 || absl::Now() < absl::FromUnixSeconds(answer_by)) return;
  base::MutexLock lock(&socket_mutex_);
  if (socket_ < 0) return;
  base::LogError("the database does not answer: its connection is given up");
  shutdown(socket_, SHUT_RDWR);
}

absl::Status Connection::Run(const std::function<absl::Status(Transaction&)>& body) {
  const absl::Cleanup answered = [this] { answer_by_ = 0; };
  absl::Status status;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    if (connection_ == nullptr && absl::Now() < retry_at_) return last_failure_;
    bool again = false;
    try {
      patience_ = kPatience;
      Connect();
      Expect();
      pqxx::work work(*connection_);
      Transaction transaction(this, &work);
      status = body(transaction);
      if (!status.ok()) return status;
      Expect();
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
      if (connection_ != nullptr &&
          (NeedsNewSession(error.sqlstate()) || !connection_->is_open())) {
        Drop();
      }
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

absl::Status CheckSessions(const std::string& url) {
  try {
    pqxx::connection ours(WithNetworkLimits(url));
    const pqxx::result who = pqxx::nontransaction(ours).exec("SELECT pg_backend_pid()");
    // a pooler makes up the process that it tells of
    if (Int(who[0][0]) == ours.backendpid()) return absl::OkStatus();
    pqxx::nontransaction(ours).exec("SET backflip.session = 'ours'");
    // whoever begins a transaction now gets the session that we had, if it went back
    pqxx::connection other(WithNetworkLimits(url));
    pqxx::work transaction(other);
    transaction.exec("SELECT 1");
    const pqxx::result mark =
        pqxx::nontransaction(ours).exec("SELECT current_setting('backflip.session', true)");
    if (std::string(mark[0][0].c_str()) == "ours") return absl::OkStatus();
  } catch (const std::exception& error) {
    return absl::UnavailableError(absl::StrCat("the database is away: ", error.what()));
  }
  return absl::FailedPreconditionError(
      "between here and the database is a pooler that gives each transaction another session "
      "(PgBouncer: pool_mode=transaction); prepared statements and notifications need their own. "
      "Connect to PostgreSQL itself, or set pool_mode=session");
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
      pqxx::connection connection(WithNetworkLimits(url));
      Receiver receiver(connection, origin, on_topic);
      while (!stop()) connection.await_notification(0, 500'000);
    } catch (const std::exception&) {
      // readers poll meanwhile
      absl::SleepFor(absl::Milliseconds(500));
    }
  }
}

}  // namespace backflip::preference_broker
