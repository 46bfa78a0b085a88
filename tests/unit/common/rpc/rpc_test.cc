#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "backflip/v1/work.grpc.pb.h"
#include "common/base/retry.h"
#include "common/rpc/allowances.h"
#include "common/rpc/client.h"
#include "common/rpc/server.h"
#include "common/rpc/status.h"
#include "common/rpc/transport.h"
#include "grpc/health/v1/health.grpc.pb.h"

namespace backflip::rpc {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// Answers with the token that it saw, as an error's message.
class EchoToken : public v1::WorkService::CallbackService {
  grpc::ServerUnaryReactor* AssignWork(grpc::CallbackServerContext* context,
                                       const v1::AssignWorkRequest*, v1::Assignment*) override {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    reactor->Finish(ToGrpc(absl::AbortedError(BearerToken(*context))));
    return reactor;
  }
};

TEST(Server, TakesAFreePortAndIsHealthy) {
  const auto server = Server::Start({.listen = "127.0.0.1:0"});
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_THAT((*server)->address(), StartsWith("127.0.0.1:"));
  EXPECT_TRUE(WaitHealthy((*server)->address(), absl::Seconds(10)).ok());
}

TEST(Server, SaysWhyItCannotListen) {
  const auto first = Server::Start({.listen = "127.0.0.1:0"});
  ASSERT_TRUE(first.ok());
  const auto second = Server::Start({.listen = (*first)->address()});
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr((*first)->address()));
}

TEST(Server, CallsOnDrainAndEndsThen) {
  bool drained = false;
  const auto server = Server::Start({.listen = "127.0.0.1:0", .on_drain = [&] { drained = true; }});
  ASSERT_TRUE(server.ok());
  (*server)->Drain(absl::Seconds(1));
  EXPECT_TRUE(drained);
  EXPECT_FALSE(WaitHealthy((*server)->address(), absl::Milliseconds(200)).ok());
}

TEST(Server, TakesNoCompressedMessages) {
  EchoToken service;
  const auto server = Server::Start({.listen = "127.0.0.1:0", .services = {&service}});
  ASSERT_TRUE(server.ok());
  const Client client((*server)->address(), "");
  const auto stub = v1::WorkService::NewStub(client.channel());
  v1::AssignWorkRequest request;
  request.set_failure(std::string(1 << 20, 'x'));
  v1::Assignment response;
  for (const auto algorithm : {GRPC_COMPRESS_GZIP, GRPC_COMPRESS_DEFLATE}) {
    const auto context = client.UnaryContext();
    context->set_compression_algorithm(algorithm);
    EXPECT_EQ(stub->AssignWork(context.get(), request, &response).error_code(),
              grpc::StatusCode::UNIMPLEMENTED);
  }
  EXPECT_EQ(stub->AssignWork(client.UnaryContext().get(), request, &response).error_code(),
            grpc::StatusCode::ABORTED);
}

TEST(Allowances, SayWhenThereIsSomethingAgain) {
  Allowances allowances(2, 10);
  EXPECT_EQ(allowances.Take("a", 30).count(), 0) << "what is left may be overdrawn";
  // 20 are owed, at 2 a second
  EXPECT_GE(allowances.Take("a", 1).count(), 9);
  EXPECT_LE(allowances.Take("a", 1).count(), 11);
  EXPECT_EQ(allowances.Take("b", 1).count(), 0);
  allowances.GiveBack("a", 30);
  EXPECT_EQ(allowances.Take("a", 1).count(), 0);
  const absl::Status status = ComeAgain("too much", std::chrono::seconds(7));
  EXPECT_EQ(status.message(), "too much: come again in 7 s");
  EXPECT_EQ(std::string(*status.GetPayload(kRetryAfter)), "7");
}

TEST(Slots, GoBackWithTheirLastCopy) {
  Slots slots;
  auto first = slots.Take("a", 2), copy = first, second = slots.Take("a", 2);
  EXPECT_NE(second, nullptr);
  EXPECT_EQ(slots.Take("a", 2), nullptr);
  EXPECT_NE(slots.Take("b", 2), nullptr);
  first.reset();
  EXPECT_EQ(slots.Take("a", 2), nullptr);
  copy.reset();
  EXPECT_NE(slots.Take("a", 2), nullptr);
}

TEST(NetworkOf, IsAnAddressOrANetworkOfVersion6) {
  EXPECT_EQ(NetworkOf("ipv4:192.0.2.7:4711"), "192.0.2.7");
  EXPECT_EQ(NetworkOf("ipv6:%5B2001:db8:1:2:3:4:5:6%5D:4711"), "2001:db8:1:2::/64");
  EXPECT_EQ(NetworkOf("ipv6:[2001:db8:1:2::9]:1"), "2001:db8:1:2::/64");
  EXPECT_EQ(NetworkOf("ipv6:%5Bfe80::1%25eth0%5D:1"), "fe80::/64");
  EXPECT_EQ(NetworkOf("ipv6:%5B::ffff:192.0.2.7%5D:4711"), "192.0.2.7");
  EXPECT_EQ(NetworkOf("unix:/run/broker.sock"), "");
  EXPECT_EQ(NetworkOf("unix:"), "");
  EXPECT_EQ(NetworkOf("unknown"), "");
}

TEST(Client, ShowsItsTokenAndGetsTheStatusBack) {
  EchoToken service;
  const auto server = Server::Start({.listen = "127.0.0.1:0", .services = {&service}});
  ASSERT_TRUE(server.ok());
  const Client client((*server)->address(), "secret");
  v1::Assignment assignment;
  const absl::Status status =
      FromGrpc(v1::WorkService::NewStub(client.channel())
                   ->AssignWork(client.UnaryContext().get(), {}, &assignment));
  EXPECT_EQ(status, absl::AbortedError("secret"));
}

// --- TLS ---------------------------------------------------------------------

// Development certificates, made once for the tests of this process.
class Tls : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    char folder[] = "/tmp/backflip-certificates-XXXXXX";
    ASSERT_NE(mkdtemp(folder), nullptr);
    folder_ = new std::string(folder);
    ASSERT_EQ(std::system((std::string(BACKFLIP_CERTIFICATES) + " " + *folder_).c_str()), 0);
    ASSERT_EQ(std::system((std::string(BACKFLIP_CERTIFICATES) + " " + *folder_ + "/other").c_str()),
              0);
  }
  static void TearDownTestSuite() { std::filesystem::remove_all(*folder_); }
  void TearDown() override { EXPECT_TRUE(SetTransport({}).ok()); }

  static Transport Of(const std::string& name, const std::string& ca = "ca") {
    return {.certificate = name.empty() ? "" : *folder_ + "/" + name + ".pem",
            .key = name.empty() ? "" : *folder_ + "/" + name + ".key",
            .ca = ca.empty() ? "" : *folder_ + "/" + ca + ".pem"};
  }
  // Whether somebody who is set up like this reaches the server; who does not is found out by the
  // first refusal.
  static bool Reaches(const Transport& transport, const std::string& address) {
    EXPECT_TRUE(SetTransport(transport).ok());
    const Client client(address, "");
    grpc::health::v1::HealthCheckResponse health;
    return grpc::health::v1::Health::NewStub(client.channel())
        ->Check(client.UnaryContext(absl::Minutes(1)).get(), {}, &health)
        .ok();
  }
  static std::unique_ptr<Server> Serve(const Transport& transport) {
    EXPECT_TRUE(SetTransport(transport).ok());
    auto server = Server::Start({.listen = "127.0.0.1:0"});
    EXPECT_TRUE(server.ok()) << server.status();
    return *std::move(server);
  }
  static std::string* folder_;
};
std::string* Tls::folder_ = nullptr;

TEST_F(Tls, AClientTrustsOnlyItsAuthority) {
  const auto server = Serve(Of("broker", ""));
  EXPECT_TRUE(Reaches(Of("", "ca"), server->address()));
  EXPECT_FALSE(Reaches(Of("", "other/ca"), server->address()));
  EXPECT_FALSE(Reaches({}, server->address())) << "plain text";
}

TEST_F(Tls, WithAnAuthorityAServerLetsInOnlyWhomItHasSigned) {
  const auto server = Serve(Of("broker"));
  EXPECT_TRUE(Reaches(Of("worker"), server->address()));
  EXPECT_FALSE(Reaches(Of(""), server->address())) << "no certificate";
  Transport stranger = Of("other/worker");
  stranger.ca = Of("worker").ca;
  EXPECT_FALSE(Reaches(stranger, server->address()));
}

TEST_F(Tls, ARenewedCertificateIsShownWithoutARestart) {
  const std::string live = *folder_ + "/live";
  const auto put = [&](const std::string& from) {
    for (const char* file : {"broker.pem", "broker.key"}) {
      std::filesystem::copy_file(*folder_ + from + file, live + "." + file,
                                 std::filesystem::copy_options::overwrite_existing);
    }
  };
  put("/");
  const auto server = Serve({.certificate = live + ".broker.pem", .key = live + ".broker.key"});
  EXPECT_TRUE(Reaches(Of(""), server->address()));
  put("/other/");
  // the files are looked at every two seconds
  bool renewed = false;
  for (int i = 0; i < 600 && !renewed; ++i) {
    renewed = Reaches(Of("", "other/ca"), server->address());
    if (!renewed) absl::SleepFor(absl::Milliseconds(100));
  }
  EXPECT_TRUE(renewed);
  EXPECT_FALSE(Reaches(Of(""), server->address()));
}

TEST_F(Tls, PlainTextBeyondThisMachineIsRefusedUnlessAskedForByName) {
  ASSERT_TRUE(SetTransport({}).ok());
  for (const char* listen : {"0.0.0.0:0", "[::]:0"}) {
    const auto refused = Server::Start({.listen = listen});
    EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(refused.status().message()),
                AllOf(HasSubstr("--tls_certificate"), HasSubstr("--insecure")));
  }
  ASSERT_TRUE(SetTransport({.insecure = true}).ok());
  const auto server = Server::Start({.listen = "0.0.0.0:0"});
  ASSERT_TRUE(server.ok()) << server.status();
  const std::string port = (*server)->address().substr((*server)->address().rfind(':'));
  // a name that is not known to be this machine's
  char name[256] = "";
  ASSERT_EQ(gethostname(name, sizeof(name)), 0);
  EXPECT_FALSE(Reaches({}, name + port)) << "a token would have been sent as plain text";
  EXPECT_TRUE(Reaches({.insecure = true}, name + port));
}

TEST_F(Tls, FilesThatCannotBeMeantAreNamed) {
  EXPECT_THAT(std::string(SetTransport({.key = "a"}).message()), HasSubstr("belong together"));
  Transport swapped = Of("broker");
  std::swap(swapped.certificate, swapped.key);
  EXPECT_THAT(std::string(SetTransport(swapped).message()), HasSubstr("broker.key"));
  EXPECT_THAT(std::string(SetTransport({.ca = "/nowhere/ca.pem"}).message()),
              HasSubstr("/nowhere/ca.pem"));
}

TEST(Transport, KnowsWhatOnlyThisMachineCanReach) {
  for (const char* local : {"unix:/tmp/a", "127.0.0.1:1", "127.8.0.1:1", "localhost:1", "[::1]:1"})
    EXPECT_TRUE(IsOnThisMachine(local)) << local;
  for (const char* other :
       {"0.0.0.0:1", "[::]:1", "10.0.0.1:1", "broker:1", "127.evil.org:1", "localhost.evil.org:1"})
    EXPECT_FALSE(IsOnThisMachine(other)) << other;
}

TEST(Status, AMessageThatIsTooLargeIsNotSentAgain) {
  const absl::Status large =
      FromGrpc(grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED,
                            "Received message larger than max (5000000 vs. 4194304)"));
  EXPECT_TRUE(absl::IsOutOfRange(large)) << large;
  EXPECT_FALSE(base::IsRetryable(large));
  const absl::Status busy =
      FromGrpc(grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "the broker is busy"));
  EXPECT_TRUE(base::IsRetryable(busy)) << busy;
}

TEST(Status, ASentenceIsPlainText) {
  EXPECT_EQ(Sentence("model: \"Fu\xdf\"\nis odd"), "model: \"Fu?\" is odd");
  EXPECT_EQ(Sentence(std::string(5000, 'a')).size(), 1500u);
}

TEST(ReadTokenFile, NamesTheFileItMisses) {
  EXPECT_THAT(std::string(ReadTokenFile("/nowhere/worker.token").status().message()),
              HasSubstr("/nowhere/worker.token"));
}

TEST(ReadTokenFile, TrimsTheToken) {
  const std::string path = testing::TempDir() + "/token";
  std::ofstream(path) << " abc\n";
  EXPECT_EQ(*ReadTokenFile(path), "abc");
}

}  // namespace
}  // namespace backflip::rpc
