// Programs that speak TLS. A certificate that expires while they run: who is connected stays, who
// comes is refused, and a renewed one is taken without a restart. A broker that comes after them is
// reached.
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cli/launcher/subprocess.h"
#include "common/rpc/client.h"
#include "common/rpc/status.h"
#include "common/rpc/transport.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "tests/support/await.h"
#include "tests/support/test_broker.h"
#include "tests/support/test_database.h"

namespace backflip::testing {
namespace {

using preference_broker::Role;

class Certificate : public ::testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/backflip-certificates-XXXXXX";
    ASSERT_NE(mkdtemp(folder), nullptr);
    folder_ = folder;
    Run(absl::StrCat(BACKFLIP_CERTIFICATES, " ", folder_));
    Run("touch index.txt; echo 01 >serial; printf '%s\\n' '[ca]' default_ca=d '[d]' "
        "database=index.txt serial=serial new_certs_dir=. default_md=sha256 policy=p "
        "x509_extensions=e unique_subject=no '[p]' commonName=supplied '[e]' "
        "subjectAltName=IP:127.0.0.1 extendedKeyUsage=serverAuth,clientAuth >ca.cnf; "
        "openssl req -new -key broker.key -subj /CN=broker -out broker.csr");
  }
  void TearDown() override {
    EXPECT_TRUE(rpc::SetTransport({}).ok());
    std::filesystem::remove_all(folder_);
  }
  void Run(const std::string& command) {
    const auto output =
        cli::Run({.argv = {"sh", "-c", absl::StrCat("cd ", folder_, " && { ", command, "; }")}});
    ASSERT_TRUE(output.ok()) << output.status();
  }
  // A new one in the place of the old.
  void Issue(absl::Duration valid_for) {
    const auto at = [](absl::Time time) {
      return absl::FormatTime("%Y%m%d%H%M%SZ", time, absl::UTCTimeZone());
    };
    const absl::Time now = absl::Now();
    Run(
        absl::StrCat("openssl ca -batch -config ca.cnf -cert ca.pem -keyfile ca.key -notext "
                     "-in broker.csr -out broker.new -startdate ",
                     at(now - absl::Hours(2)), " -enddate ", at(now + valid_for),
                     " && mv broker.new broker.pem"));
  }
  void Trust() {
    ASSERT_TRUE(rpc::SetTransport({.certificate = folder_ + "/broker.pem",
                                   .key = folder_ + "/broker.key",
                                   .ca = folder_ + "/ca.pem"})
                    .ok());
  }
  // How often the worker has said that nobody gave it work.
  int Failures() const {
    std::ifstream log(folder_ + "/worker.log");
    int failures = 0;
    for (std::string line; std::getline(log, line);) {
      failures += line.find("no work done") != std::string::npos ? 1 : 0;
    }
    return failures;
  }
  // Whether somebody who comes is let in.
  static absl::Status Come(const std::string& address) {
    const rpc::Client client(address, "");
    grpc::health::v1::HealthCheckResponse health;
    const auto stub = grpc::health::v1::Health::NewStub(client.channel());
    return rpc::FromGrpc(stub->Check(client.UnaryContext(kPatience).get(), {}, &health));
  }
  std::string folder_;
};

// A handshake compares an end with now: one that has come is as good as one that comes meanwhile.
TEST_F(Certificate, ThatExpiresKeepsWhoIsConnectedAndIsRenewedWithoutARestart) {
  Issue(absl::Hours(1));
  Trust();
  TestBroker broker;
  const int64_t run_id = broker.CreateRun().id();
  Peer& connected = broker.As(Role::kOperator);
  v1::GetRunRequest get;
  get.set_run_id(run_id);
  const auto works = [&] {
    const auto run = connected.Call(connected.runs, &v1::RunService::Stub::Get, get);
    EXPECT_TRUE(run.ok()) << run.status();
  };
  const absl::Status reached = Come(broker.address());
  ASSERT_TRUE(reached.ok()) << reached;
  works();
  // the files are looked at every two seconds
  Issue(-absl::Hours(1));
  absl::Status refused;
  EXPECT_TRUE(Await([&] { return !(refused = Come(broker.address())).ok(); }));
  EXPECT_TRUE(absl::IsUnavailable(refused)) << refused;
  works();
  Issue(absl::Hours(1));
  EXPECT_TRUE(Await([&] { return Come(broker.address()).ok(); }));
  works();
}

// gRPC goes on with a handshake only while somebody asks for it, and whoever tries again pauses in
// between: a client with nothing else to do has to get through nevertheless.
TEST_F(Certificate, LetsAWorkerInThatWasThereBeforeTheBroker) {
  Trust();
  preference_broker::BrokerOptions options;
  {
    TestBroker before;
    options.database = before.database();
    options.listen = before.address();
    std::ofstream(folder_ + "/worker.token") << before.Token(Role::kWorker);
  }
  const auto file = [&](const char* flag, const char* name) {
    return absl::StrCat("--", flag, "=", folder_, "/", name);
  };
  const auto worker = cli::Spawn(
      {.argv = {BACKFLIP_WORKER, absl::StrCat("--broker=", options.listen), "--threads=1",
                file("token_file", "worker.token"), file("tls_certificate", "worker.pem"),
                file("tls_key", "worker.key"), file("tls_ca", "ca.pem"), file("cache", "cache")},
       .log_file = folder_ + "/worker.log",
       .dies_with_parent = true});
  ASSERT_TRUE(worker.ok()) << worker.status();
  EXPECT_TRUE(Await([&] { return Failures() > 3; }));
  const TestBroker broker(options);
  const int failures = Failures();
  EXPECT_TRUE(Await([&] {
    return !Query(options.database,
                  "SELECT 1 FROM tokens k JOIN callers c ON c.id = k.caller_id "
                  "WHERE c.name = 'worker' AND last_used_at IS NOT NULL")
                .empty();
  }));
  EXPECT_LE(Failures() - failures, 4);
  ASSERT_EQ(kill(*worker, SIGKILL), 0);
  ASSERT_EQ(waitpid(*worker, nullptr, 0), *worker);
}

}  // namespace
}  // namespace backflip::testing
