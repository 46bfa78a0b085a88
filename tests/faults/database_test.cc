// A database that hangs without being down, that was demoted, that acknowledges too early; and
// callers that have gone while it was busy.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <pqxx/pqxx>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/retry.h"
#include "common/rpc/client.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "services/preference_broker/store/db/connection.h"
#include "tests/support/await.h"
#include "tests/support/test_broker.h"
#include "tests/support/test_database.h"

namespace backflip::testing {
namespace {

using preference_broker::Connection;
using preference_broker::Role;
using preference_broker::Transaction;

bool Serves(const std::string& address) {
  const rpc::Client client(address, "");
  grpc::health::v1::HealthCheckResponse response;
  const auto stub = grpc::health::v1::Health::NewStub(client.channel());
  EXPECT_TRUE(stub->Check(client.UnaryContext().get(), {}, &response).ok());
  return response.status() == grpc::health::v1::HealthCheckResponse::SERVING;
}

// The status of GET /healthz at http://127.0.0.1:PORT.
int Healthz(const std::string& url) {
  int port = 0;
  EXPECT_TRUE(absl::SimpleAtoi(url.substr(url.rfind(':') + 1), &port)) << url;
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int connection = socket(AF_INET, SOCK_STREAM, 0);
  EXPECT_EQ(connect(connection, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  const std::string request = "GET /healthz HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n";
  EXPECT_EQ(send(connection, request.data(), request.size(), 0), request.size());
  char head[13] = "";  // "HTTP/1.1 200"
  EXPECT_EQ(recv(connection, head, 12, MSG_WAITALL), 12);
  close(connection);
  return std::atoi(head + 9);
}

TEST(Database, ThatHangsIsGivenUpAndHealthSaysSoMeanwhile) {
  preference_broker::BrokerOptions options;
  options.connections = 2;
  options.http.listen = "127.0.0.1:0";
  TestBroker broker(options);
  const int64_t run_id = broker.CreateRun().id();
  ASSERT_TRUE(Serves(broker.address()));
  ASSERT_EQ(Healthz(broker.broker().http_url()), 200);
  const std::string pids = Query(
      broker.database(),
      "SELECT string_agg(pid::text, ' ') FROM pg_stat_activity WHERE datname = current_database() "
      "AND pid <> pg_backend_pid()");
  std::vector<pid_t> stopped;
  for (const auto pid : absl::StrSplit(pids, ' ')) {
    ASSERT_TRUE(absl::SimpleAtoi(pid, &stopped.emplace_back()));
    // that of a connection that was closed just now may be gone
    ASSERT_TRUE(kill(stopped.back(), SIGSTOP) == 0 || errno == ESRCH);
  }
  EXPECT_TRUE(Await([&] {
    return !Serves(broker.address()) && Healthz(broker.broker().http_url()) == 503;
  })) << "health goes on saying that it serves";
  // the server goes on taking connections: what hangs is given up, and work goes on
  EXPECT_TRUE(Await([&] { return Serves(broker.address()); })) << "it stays with what hangs";
  EXPECT_EQ(Healthz(broker.broker().http_url()), 200);
  v1::GetRunRequest get;
  get.set_run_id(run_id);
  Peer& peer = broker.As(Role::kOperator);
  const auto run = peer.Call(peer.runs, &v1::RunService::Stub::Get, get);
  EXPECT_TRUE(run.ok()) << run.status();
  for (const pid_t pid : stopped) kill(pid, SIGCONT);
}

TEST(Database, RunsNoCallWhoseCallerHasGone) {
  preference_broker::BrokerOptions options;
  options.connections = 1;
  TestBroker broker(options);
  const int64_t run_id = broker.CreateRun().id();
  Peer& peer = broker.As(Role::kOperator);
  pqxx::connection blocker(broker.database());
  pqxx::work lock(blocker);
  lock.exec("LOCK TABLE audit");
  v1::CancelRunRequest pause;
  pause.set_run_id(run_id);
  pause.set_pause(true);
  // holds the only connection
  v1::Run paused;
  const auto first_context = peer.client.UnaryContext(absl::Seconds(30));
  grpc::CompletionQueue queue;
  const auto first = peer.runs->AsyncCancel(first_context.get(), pause, &queue);
  grpc::Status first_status;
  first->Finish(&paused, &first_status, nullptr);
  EXPECT_TRUE(Await([&] {
    return Query(broker.database(),
                 "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
                 "AND datname = current_database()") == "1";
  })) << "the first call does not wait for the lock";
  v1::CancelRunRequest cancel;
  cancel.set_run_id(run_id);
  v1::Run cancelled;
  const auto context = peer.client.UnaryContext(absl::Milliseconds(200));
  EXPECT_EQ(peer.runs->Cancel(context.get(), cancel, &cancelled).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  lock.abort();
  void* tag = nullptr;
  bool ok = false;
  ASSERT_TRUE(queue.Next(&tag, &ok));
  EXPECT_TRUE(first_status.ok()) << first_status.error_message();
  v1::GetRunRequest get;
  get.set_run_id(run_id);
  // it came after the one whose caller had gone
  EXPECT_EQ(peer.Call(peer.runs, &v1::RunService::Stub::Get, get)->state(), v1::PAUSED);
}

TEST(Database, IsAskedAgainAfterItWasDemoted) {
  const std::string url = MigratedDatabase();
  const std::string name = Query(url, "SELECT current_database()");
  Query(url, absl::StrCat("ALTER DATABASE ", name, " SET default_transaction_read_only = on"));
  Connection connection(url, "test", nullptr);
  const auto write = [&] {
    return connection.Transact([](Transaction& t) {
      t.Exec("INSERT INTO scenes (sha256, glb) VALUES (sha256('x'), 'x') ON CONFLICT DO NOTHING");
      return absl::OkStatus();
    });
  };
  const absl::Status refused = write();
  EXPECT_TRUE(absl::IsUnavailable(refused)) << refused;
  Query(url, absl::StrCat("BEGIN READ WRITE; ALTER DATABASE ", name,
                          " RESET default_transaction_read_only; COMMIT"));
  const absl::Status taken = base::Retry({}, nullptr, write);
  EXPECT_TRUE(taken.ok()) << taken;
}

TEST(Database, AcknowledgesWhatIsOnDiskWhateverItsDefaultIs) {
  const std::string url = MigratedDatabase();
  const std::string name = Query(url, "SELECT current_database()");
  for (const auto& [set, is] : {std::pair("off", "on"), std::pair("local", "on"),
                                std::pair("remote_apply", "remote_apply")}) {
    Query(url, absl::StrCat("ALTER DATABASE ", name, " SET synchronous_commit = ", set));
    Connection connection(url, "test", nullptr);
    const auto commit = connection.Transact([](Transaction& t) -> absl::StatusOr<std::string> {
      return preference_broker::Text(t.Exec("SHOW synchronous_commit")[0][0]);
    });
    ASSERT_TRUE(commit.ok()) << commit.status();
    EXPECT_EQ(*commit, is) << set;
  }
}

}  // namespace
}  // namespace backflip::testing
