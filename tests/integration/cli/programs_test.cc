// What every program promises of its configuration, and `backflip doctor` on a real database.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "cli/launcher/paths.h"
#include "cli/launcher/private_postgres.h"
#include "cli/launcher/subprocess.h"

namespace backflip::testing {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

class Programs : public ::testing::Test {
 protected:
  Programs() {
    char name[] = "/tmp/backflip-test-XXXXXX";
    folder_ = mkdtemp(name);
    std::ofstream(folder_ + "/token") << "secret\n";
  }
  ~Programs() override { std::filesystem::remove_all(folder_); }

  // Its output; what it printed and how it ended, where that was not with 0.
  std::string Output(std::vector<std::string> argv, std::vector<std::string> environment = {}) {
    argv[0] = cli::ProgramPath(argv[0]);
    const auto output = cli::Run({.argv = std::move(argv), .environment = std::move(environment)});
    return output.ok() ? *output : std::string(output.status().message());
  }

  std::string folder_;
};

TEST_F(Programs, CheckTheirConfigurationWithoutStarting) {
  const std::vector<std::string> good = {"BACKFLIP_BROKER=127.0.0.1:7400",
                                         absl::StrCat("BACKFLIP_TOKEN_FILE=", folder_, "/token"),
                                         "BACKFLIP_DATABASE_URL=postgresql:///none"};
  for (const char* program :
       {"preference-broker", "policy-learner", "reward-trainer", "rollout-worker", "labeler"}) {
    EXPECT_THAT(Output({program, "--check-config"}, good), HasSubstr("the configuration is good"));
    EXPECT_THAT(Output({program, "--check-config"}, {}), HasSubstr("ended with code 2"));
    EXPECT_THAT(Output({program, "--listne=x"}, good),
                AllOf(HasSubstr("ended with code 2"), HasSubstr("there is no --listne")));
    EXPECT_THAT(Output({program}, {"BACKFLIP_BROKRE=x"}),
                AllOf(HasSubstr("ended with code 2"), HasSubstr("did you mean BACKFLIP_BROKER?")));
    const std::string help = Output({program, "--help"});
    EXPECT_THAT(help, AllOf(HasSubstr("BACKFLIP_"), HasSubstr("--print_config"),
                            Not(HasSubstr("ended with code"))));
  }
}

TEST_F(Programs, NameWhatIsWrongInTheirConfiguration) {
  const std::string broker = "--broker=127.0.0.1:7400",
                    token = absl::StrCat("--token-file=", folder_, "/token");
  EXPECT_THAT(Output({"labeler", broker, token, "--count=17"}),
              AllOf(HasSubstr("--count is '17'"), HasSubstr("1 to 16")));
  EXPECT_THAT(Output({"labeler", broker, token, "--teacher=wizard"}), HasSubstr("'wizard'"));
  EXPECT_THAT(Output({"rollout-worker", broker, token, "--threads=1025"}), HasSubstr("0 to 1024"));
  EXPECT_THAT(Output({"policy-learner", broker, token, "--listen=here"}),
              HasSubstr("host:port or unix:path"));
  EXPECT_THAT(Output({"reward-trainer", broker, "--token-file=/none"}), HasSubstr("/none"));
  EXPECT_THAT(Output({"reward-trainer", broker, token, "--tls-ca=/none"}),
              HasSubstr("no readable PEM"));
  EXPECT_THAT(Output({"preference-broker", "serve", "--database-url=postgresql:///x",
                      "--public-url=https://x"}),
              HasSubstr("give --http_listen too"));
}

TEST_F(Programs, ReachADatabaseOnAnotherMachineByTlsOrAsIsSaidByName) {
  const auto check = [&](const std::string& url, const std::string& mode = "") {
    return Output({"preference-broker", "--check-config"},
                  {absl::StrCat("BACKFLIP_DATABASE_URL=", url), absl::StrCat("PGSSLMODE=", mode)});
  };
  for (const char* plain :
       {"postgresql://db.example.org/x", "postgresql://192.0.2.1/x?sslmode=prefer",
        "postgresql://localhost,db.example.org/x?sslmode=allow",
        "host=localhost hostaddr=192.0.2.1 dbname=x", "postgresql:///x?host=127.0.0.1.example.org"})
    EXPECT_THAT(check(plain), AllOf(HasSubstr("ended with code 2"), HasSubstr("verify-full")))
        << plain;
  for (const char* good :
       {"postgresql:///x", "postgresql:///x?host=/run/postgresql", "postgresql://127.0.0.1:5432/x",
        "postgresql://[::1]/x", "postgresql://db.example.org/x?sslmode=verify-full",
        "postgresql://db.example.org/x?sslmode=disable"})
    EXPECT_THAT(check(good), HasSubstr("the configuration is good")) << good;
  EXPECT_THAT(check("postgresql://db.example.org/x", "require"), HasSubstr("is good"));
  EXPECT_THAT(check("postgresql://[x"), HasSubstr("no URL of PostgreSQL"));
}

TEST_F(Programs, SayWhereTheirConfigurationComesFromWithoutSecrets) {
  const std::string text = Output({"preference-broker", "--print-config", "--listen=unix:/x"},
                                  {"BACKFLIP_DATABASE_URL=postgresql://me:hush@host/name"});
  EXPECT_THAT(text, ContainsRegex("--listen=unix:/x +# command line\n"));
  EXPECT_THAT(text, ContainsRegex("me:\\*\\*\\*@host/name +# BACKFLIP_DATABASE_URL\n"));
  EXPECT_THAT(text, ContainsRegex("--database_connections=8 +# default\n"));
  EXPECT_THAT(text, Not(HasSubstr("hush")));
}

TEST_F(Programs, DoctorSeesTheDatabaseAndItsEnd) {
  // PostgreSQL's user enters it
  chmod(folder_.c_str(), 0755);
  const std::string data = folder_ + "/data";
  auto postgres = cli::PrivatePostgres::Start(data);
  ASSERT_TRUE(postgres.ok()) << postgres.status();
  const std::string variable = absl::StrCat("BACKFLIP_DATABASE_URL=", (*postgres)->url());
  const std::vector<std::string> doctor = {"backflip", "doctor", "--listen=127.0.0.1:0",
                                           absl::StrCat("--data=", data)};
  EXPECT_THAT(Output(doctor, {variable}), ContainsRegex("warning +migrations +0 of"));
  EXPECT_THAT(Output({"preference-broker", "migrate"}, {variable}), HasSubstr("database is ready"));
  // by its URL, and as that of the data folder, which somebody holds
  for (const std::vector<std::string>& environment : {std::vector{variable}, {}}) {
    const std::string found = Output(doctor, environment);
    EXPECT_THAT(found, ContainsRegex("ok +programs +.*MuJoCo "));
    EXPECT_THAT(found, ContainsRegex("ok +database +PostgreSQL [0-9]"));
    EXPECT_THAT(found, ContainsRegex("ok +migrations"));
    EXPECT_THAT(found, ContainsRegex("ok +durability +synchronous_commit on, fsync on"));
    EXPECT_THAT(found, ContainsRegex("ok +clock"));
  }
  ASSERT_TRUE((*postgres)->Stop().ok());
  EXPECT_THAT(Output(doctor, {variable}),
              AllOf(HasSubstr("ended with code 1"), ContainsRegex("error +database ")));
}

}  // namespace
}  // namespace backflip::testing
