#include "common/sim/mujoco/scaffold.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/base/status_macros.h"
#include "common/experience/limits.h"
#include "common/sim/clip.h"
#include "common/sim/mujoco/model_files.h"
#include "common/sim/mujoco/mujoco_task.h"
#include "common/sim/mujoco/robot.h"

namespace backflip::sim {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;

constexpr char kRobot[] = R"(<mujoco>
  <compiler meshdir="assets"/>
  <asset><mesh name="box" file="box.obj" scale=".1 .1 .1"/></asset>
  <worldbody>
    <light pos="0 0 3"/>
    <geom name="floor" type="plane" size="0 0 1"/>
    <body name="base" pos="0 0 1">
      <freejoint/>
      <geom type="mesh" mesh="box"/>
      <body name="wheel" pos="0 0.2 0">
        <joint name="axle" axis="0 1 0"/>
        <geom type="cylinder" size="0.1 0.02" zaxis="0 1 0"/>
      </body>
    </body>
  </worldbody>
  <actuator><motor name="drive" joint="axle" ctrlrange="-1 1"/></actuator>
</mujoco>)";
constexpr char kBox[] =
    "v -1 -1 -1\nv 1 -1 -1\nv 1 1 -1\nv -1 1 -1\nv -1 -1 1\nv 1 -1 1\nv 1 1 1\n"
    "v -1 1 1\nf 1 2 3 4\nf 5 8 7 6\nf 1 5 6 2\nf 2 6 7 3\nf 3 7 8 4\nf 4 8 5 1\n";

class Scaffold : public testing::Test {
 protected:
  Scaffold() {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    root_ = testing::TempDir() + "scaffold_" + info->name();
    fs::remove_all(root_);
    fs::create_directories(root_ + "/robot/assets");
    std::ofstream(root_ + "/robot/my-robot.xml") << kRobot;
    std::ofstream(root_ + "/robot/assets/box.obj") << kBox;
    std::ofstream(root_ + "/robot/unrelated.xml") << "<mujoco/>";
  }
  ~Scaffold() override { fs::remove_all(root_); }

  static absl::StatusOr<NewTask> Make(const std::string& model, const std::string& folder) {
    ASSIGN_OR_RETURN(const auto draft, Draft::Beside(folder));
    ASSIGN_OR_RETURN(NewTask made, ScaffoldTask(model, folder, *draft, [](absl::string_view) {}));
    RETURN_IF_ERROR(draft->Keep());
    return made;
  }
  // Of a model by itself, in the folder `t`.
  absl::StatusOr<NewTask> MakeFrom(const std::string& model) {
    std::ofstream(root_ + "/robot/made.xml", std::ios::binary) << model;
    return Make(root_ + "/robot/made.xml", root_ + "/t");
  }
  // One hinge, `j`.
  static std::string Arm(const std::string& option, const std::string& actuators) {
    return absl::StrCat(
        "<mujoco><option ", option, "/><worldbody><body name=\"body\">",
        "<joint name='j' axis='0 1 0' damping='0.1'/><geom type='capsule' fromto='0 0 0 0 0 -.4' ",
        "size='.05'/></body></worldbody><actuator>", actuators, "</actuator></mujoco>");
  }

  // Whether anything is left of a task that was not made.
  bool HasDraft() const {
    const auto begin = fs::directory_iterator(root_), end = fs::directory_iterator();
    return std::any_of(begin, end, [](const auto& entry) {
      return absl::StrContains(entry.path().filename().string(), ".backflip-");
    });
  }
  void Write(const std::string& path, const std::string& content) const {
    fs::create_directories(fs::path(root_ + "/" + path).parent_path());
    std::ofstream(root_ + "/" + path, std::ios::binary) << content;
  }
  // A URDF with a hinge, whose first link has the elements `shapes`.
  static std::string Urdf(const std::string& mujoco, const std::string& shapes) {
    const std::string mass =
        "<inertial><mass value='1'/><inertia ixx='.1' ixy='0' ixz='0' iyy='.1' iyz='0' izz='.1'/>"
        "</inertial>";
    return absl::StrCat("<robot name='r'>", mujoco, "<link name='base'>", mass, shapes,
                        "</link><link name='arm'>", mass,
                        "<collision><geometry><box size='.1 .1 .4'/></geometry></collision></link>"
                        "<joint name='j' type='revolute'><parent link='base'/><child link='arm'/>"
                        "<axis xyz='0 1 0'/><limit lower='-1' upper='1' effort='9' velocity='1'/>"
                        "</joint></robot>");
  }
  static std::string Shape(const std::string& kind, const std::string& mesh) {
    return absl::StrCat("<", kind, "><geometry><mesh filename='", mesh,
                        "' scale='.1 .1 .1'/></geometry></", kind, ">");
  }

  std::string root_;
};

TEST_F(Scaffold, MakesATaskThatLoadsFromAModelWithMeshes) {
  const auto made = Make(root_ + "/robot/my-robot.xml", root_ + "/my-task");
  ASSERT_TRUE(made.ok()) << made.status();
  const auto task = Task::FromFolder(root_ + "/my-task");
  ASSERT_TRUE(task.ok()) << task.status();
  EXPECT_EQ((*task)->name(), "my_task");
  EXPECT_EQ((*task)->bundle().hash, made->task->bundle().hash);
  // height, which way is up; sine and cosine of the wheel; 7 velocities; base and wheel on the
  // floor
  EXPECT_EQ((*task)->observation_size(), 4 + 2 + 7 + 2 * 3);
  EXPECT_GE((*task)->step_seconds(), 1 / 125.0);
  EXPECT_LE((*task)->step_seconds(), 1 / 50.0);
  EXPECT_FALSE((*task)->has_true_reward());
  EXPECT_FALSE(fs::exists(root_ + "/my-task/unrelated.xml"));
}

TEST_F(Scaffold, WorksOnTheHopper) {
  const auto made = Make(BACKFLIP_TASKS "/hopper/model.xml", root_ + "/hopper");
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->task->observation_size(), 12 + 4 * 3);
}

TEST_F(Scaffold, LeavesNothingBehindWhenItFails) {
  std::ofstream(root_ + "/robot/my-robot.xml") << "<mujoco><worldbody/></mujoco>";
  const auto none = Make(root_ + "/robot/my-robot.xml", root_ + "/t");
  EXPECT_THAT(std::string(none.status().message()), testing::HasSubstr("no actuator"));
  EXPECT_FALSE(fs::exists(root_ + "/t"));
  EXPECT_FALSE(HasDraft());
  EXPECT_EQ(Make(root_ + "/nope.xml", root_ + "/t").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(Scaffold, DraftIsNobodysFolderAndTakesAwayWhatItMadeAlone) {
  Write("t.draft/own", "mine");
  {
    const auto draft = Draft::Beside(root_ + "/new/t");
    ASSERT_TRUE(draft.ok()) << draft.status();
    std::ofstream((*draft)->path() + "/file") << "text";
  }
  EXPECT_FALSE(fs::exists(root_ + "/new"));
  EXPECT_TRUE(Make(root_ + "/robot/my-robot.xml", root_ + "/t").ok());
  EXPECT_FALSE(HasDraft());
  EXPECT_TRUE(fs::exists(root_ + "/t.draft/own"));
  EXPECT_EQ(fs::status(root_ + "/t").permissions() & fs::perms::others_read,
            fs::status(root_ + "/robot").permissions() & fs::perms::others_read);
}

TEST_F(Scaffold, KeepsWhatIsThere) {
  fs::create_directories(root_ + "/t");
  const absl::Status taken = Make(root_ + "/robot/my-robot.xml", root_ + "/t").status();
  EXPECT_EQ(taken.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(taken.message()), HasSubstr("FOLDER"));
}

TEST_F(Scaffold, ActionSizeIsTheNumberOfControlsNotOfActuators) {
  const auto made = Make(BACKFLIP_MODELS "/controls.xml", root_ + "/t");
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->task->action_size(), 3);
  EXPECT_THAT(made->remarks, Contains(AllOf(HasSubstr("2 of 3 controls have no range"),
                                            HasSubstr("servo ±1 rad"))));
}

// What a control of 1 means to the actuator `m` of the hinge `j`, and what proves it: the torque at
// an angle and a rate of the joint, with activations that have become 1.
struct Meaning {
  std::string actuator, sentence;
  double qpos = 0, qvel = 0, torque = 0;
};

TEST_F(Scaffold, SaysWhatOneMeansToEachKindOfActuatorWithoutARange) {
  const Meaning meanings[] = {
      {"<motor name='m' joint='j' gear='30'/>", "m ±30 N·m", 0, 0, 30},
      {"<position name='m' joint='j' kp='50' kv='2'/>", "m ±1 rad.", 1},
      {"<position name='m' joint='j' kp='50' gear='10'/>", "m ±0.1 rad.", 0.1},
      {"<velocity name='m' joint='j' kv='2'/>", "m ±1 rad/s", 0.7, 1},
      {"<intvelocity name='m' joint='j' kp='50' actrange='-3 3'/>", "m ±1 rad/s", 1},
      {"<general name='m' joint='j' gainprm='100' biastype='affine' biasprm='0 -50 -1'/>",
       "m ±2 rad.", 2},
      {"<general name='m' joint='j' gainprm='40' gear='2'/>", "m ±80 N·m.", 0.3, 0.2, 80},
      {"<general name='m' joint='j' gainprm='40' biastype='affine' biasprm='0 0 -3'/>",
       "m ±40 N·m.", 0.3, 0, 40},
      {"<general name='m' joint='j' gainprm='40' dyntype='integrator'/>", "m ±40 N·m/s", 0, 0, 40},
      {"<cylinder name='m' joint='j' timeconst='1' area='3'/>", "m ±3 N·m.", 0, 0, 3},
      {"<dcmotor name='m' joint='j' motorconst='0.5' resistance='0.1'/>", "m ±1 V", 0, 0, 5},
  };
  for (const Meaning& meaning : meanings) {
    const std::string model = Arm("gravity='0 0 0'", meaning.actuator);
    const auto made = MakeFrom(model);
    ASSERT_TRUE(made.ok()) << meaning.actuator << made.status();
    EXPECT_THAT(made->remarks, Contains(HasSubstr(meaning.sentence))) << meaning.actuator;
    const FileReader reader = [&](const std::string&) { return &model; };
    const auto loaded = LoadModel("model.xml", reader);
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    const DataPtr data(mj_makeData(loaded->get()));
    data->ctrl[0] = 1;
    data->qpos[0] = meaning.qpos;
    data->qvel[0] = meaning.qvel;
    std::fill_n(data->act, (*loaded)->na, 1);
    mj_forward(loaded->get(), data.get());
    EXPECT_NEAR(data->qfrc_actuator[0], meaning.torque, 1e-6) << meaning.actuator;
    fs::remove_all(root_ + "/t");
  }
}

TEST_F(Scaffold, SaysWhatOneMeansWhereItIsNoPlainNumber) {
  const auto muscle = MakeFrom(Arm("", "<muscle name='m' joint='j' lengthrange='0 1'/>"));
  ASSERT_TRUE(muscle.ok()) << muscle.status();
  EXPECT_THAT(muscle->remarks, Contains(HasSubstr("m 0 to 1, below which it is 0")));
  fs::remove_all(root_ + "/t");
  const auto servo = MakeFrom(Arm("", "<pid name='m' joint='j' kp='9' kv='1'/>"));
  ASSERT_TRUE(servo.ok()) << servo.status();
  EXPECT_THAT(servo->remarks, Contains(HasSubstr("m ±1 rad, m (control 1) ±1 rad/s")));
  fs::remove_all(root_ + "/t");
  const auto thruster =
      MakeFrom(absl::StrReplaceAll(Arm("",
                                       "<motor name='m' site='s' gear='0 0 5 0 0 0.1'/>"
                                       "<motor name='twist' site='s' gear='0 0 0 0 2 0'/>"),
                                   {{"</body>", "<site name='s'/></body>"}}));
  ASSERT_TRUE(thruster.ok()) << thruster.status();
  EXPECT_THAT(thruster->remarks, Contains(HasSubstr("m ±5 N, twist ±2 N·m")));
}

TEST_F(Scaffold, ObservesTheBodiesThatCanTouchTheWorldAndNoOthers) {
  std::string chain = "<mujoco><worldbody><geom type='plane' size='0 0 1'/>";
  constexpr int kBodies = 60, kTouching = 3;
  for (int i = 0; i < kBodies; ++i) {
    absl::StrAppend(&chain, "<body pos='0.1 0 0'><joint name='j", i, "' range='-9 9' damping='1'/>",
                    "<geom size='.05' contype='0' conaffinity='", i < kTouching ? 1 : 2, "'/>");
  }
  for (int i = 0; i < kBodies; ++i) absl::StrAppend(&chain, "</body>");
  absl::StrAppend(&chain, "</worldbody><actuator><motor joint='j0' ctrlrange='-1 1'/></actuator>");
  const auto made = MakeFrom(chain + "</mujoco>");
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->task->observation_size(), 2 * kBodies + 3 * kTouching);
}

TEST_F(Scaffold, ObservesNoContactsWhereTheModelHasNone) {
  const std::string arm = Arm("", "<motor joint='j'/>");
  const std::string plane = "<worldbody><geom type='plane' size='1 1 1' pos='0 0 -3'/>";
  for (const std::string& model : {
           arm,  // no floor
           absl::StrReplaceAll(arm, {{"<worldbody>", plane},
                                     {"<actuator>",
                                      "<contact><exclude body1='body' body2='world'/></contact>"
                                      "<actuator>"}}),
           absl::StrReplaceAll(arm, {{"<worldbody>", plane},
                                     {"<geom type='capsule'", "<geom contype='2' type='capsule'"},
                                     {"size='.05'", "size='.05' conaffinity='2'"}}),
       }) {
    const auto made = MakeFrom(model);
    ASSERT_TRUE(made.ok()) << made.status();
    EXPECT_FALSE(made->task->task().observation().has_contacts()) << model;
    fs::remove_all(root_ + "/t");
  }
}

TEST_F(Scaffold, CameraIsNearEnoughToWhatIsFixedAtOneEndAndFolds) {
  const auto made = Make(BACKFLIP_MODELS "/folding.xml", root_ + "/t");
  ASSERT_TRUE(made.ok()) << made.status();
  const MujocoTask& task = **MujocoTask::Of(*made->task);
  const v1::Camera& camera = task.task().camera();
  const Robot robot = RobotOf(task.model());
  const DataPtr data(mj_makeData(task.model()));
  std::vector<RobotView> views;
  for (size_t at = 0; at < made->states.size(); at += task.state_size()) {
    mj_setState(task.model(), data.get(), &made->states[at], mjSTATE_FULLPHYSICS);
    mj_kinematics(task.model(), data.get());
    const mjtNum* place = data->xpos + 3 * task.tracked_body();
    views.push_back({{place[0], place[1], camera.has_height() ? camera.height() : place[2]},
                     RobotCorners(task.model(), data.get(), robot)});
  }
  EXPECT_GT(LeastShare(views, camera.azimuth(), camera.elevation(), camera.distance()), 0.3);
}

TEST_F(Scaffold, FindsTheRobotThatOrientationServosDrive) {
  for (const std::string target : {"joint='b'", "site='tip' refsite='base'"}) {
    const auto made = MakeFrom(absl::StrCat(
        "<mujoco><worldbody><site name='base'/><body name='ball' pos='0 0 9'><freejoint/><geom "
        "size='1'/></body><body name='robot'><joint name='b' type='ball' damping='.1'/><geom "
        "type='capsule' fromto='0 0 0 0 0 -.3' size='.04'/><site name='tip'/></body></worldbody>"
        "<actuator><orientation name='m' ",
        target, " kp='3'/></actuator></mujoco>"));
    ASSERT_TRUE(made.ok()) << made.status();
    EXPECT_EQ(made->task->task().camera().track(), "robot") << target;
    EXPECT_THAT(made->remarks, Contains(HasSubstr("m ±1 rad, m (control 1) ±1 rad")));
    fs::remove_all(root_ + "/t");
  }
}

TEST_F(Scaffold, ShowsMocapBodiesWhereTheKeyframeHasThem) {
  const auto made = Make(BACKFLIP_MODELS "/mocap.xml", root_ + "/t");
  ASSERT_TRUE(made.ok()) << made.status();
  const std::vector<float> poses = made->task->BodyPoses(made->states);
  EXPECT_THAT(std::vector<float>(poses.begin(), poses.begin() + 3),
              testing::ElementsAre(0.3F, 0, 0.8F));
}

TEST_F(Scaffold, TakesAControlRangeWithoutEndsForNone) {
  for (const std::string range : {"-inf inf", "0 inf", "-1e300 1e300"}) {
    const auto made =
        MakeFrom(Arm("", absl::StrCat("<motor name='m' joint='j' ctrlrange='", range, "'/>")));
    ASSERT_TRUE(made.ok()) << made.status();
    EXPECT_THAT(made->remarks, Contains(HasSubstr("m ±1 N·m"))) << range;
    // the arm moves: MuJoCo sets controls to 0 that are no numbers to it
    EXPECT_GT(std::abs(made->states[made->states.size() / 2]), 1e-3) << range;
    fs::remove_all(root_ + "/t");
  }
}

TEST_F(Scaffold, SaysWhatToChangeInWhatItRefuses) {
  const std::string arm = Arm("", "<motor joint='j'/>");
  const std::pair<std::string, std::string> refused[] = {
      {absl::StrReplaceAll(Arm("", "<adhesion body='body' ctrlrange='0 1'/>"),
                           {{"<joint name='j' axis='0 1 0' damping='0.1'/>", ""}}),
       "add a <joint>"},
      {Arm("timestep='0'", "<motor joint='j'/>"), "greater than 0"},
      {Arm("timestep='-0.01'", "<motor joint='j'/>"), "greater than 0"},
      {absl::StrReplaceAll(
           arm, {{"<mujoco>", "<mujoco><extension><plugin plugin='mujoco.pid'/></extension>"}}),
       "plugin mujoco.pid not found"},
      {std::string("\xff\xfe<\0m\0", 6), "UTF-8"},
      {std::string("\0\1\2mjb", 6), "give the XML"},
      {"", "empty file"},
      {"just words", "UTF-8"},
      {"\x1f\x8b\b", "unpack it"},
      {"<!DOCTYPE html>\n<html><link rel=x></html>", "download the raw file"},
      {"<?xml version='1.0'?><sdf version='1.6'><model/></sdf>",
       "export the robot as URDF or MJCF"},
      {"<mujocoinclude/>", "a part of a model"},
      {"<mujoco><worldbody><geom size=", "cut off"},
  };
  for (const auto& [model, sentence] : refused) {
    const absl::Status status = MakeFrom(model).status();
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr("made.xml"), HasSubstr(sentence), testing::Not(HasSubstr("\n"))));
  }
  EXPECT_THAT(std::string(Make(root_ + "/robot", root_ + "/t").status().message()),
              HasSubstr("is a folder"));
}

TEST_F(Scaffold, TakesWhatIsOddButSound) {
  const std::string arm = Arm("", "<motor joint='j' ctrlrange='-1 1'/>");
  fs::create_directories(root_ + "/robot/Füße & co");
  std::ofstream(root_ + "/robot/Füße & co/teil.xml")
      << "<mujoco><worldbody><geom size='.1' contype='0' conaffinity='0'/></worldbody></mujoco>";
  const std::pair<const char*, std::string> models[] = {
      {"a byte order mark and Windows' lines",
       absl::StrCat("\xef\xbb\xbf", absl::StrReplaceAll(arm, {{">", ">\r\n"}}))},
      {"an include in a folder with a space and letters that are no ASCII",
       absl::StrReplaceAll(arm, {{"<worldbody>",
                                  "<include file='Füße &amp; co/teil.xml'/>"
                                  "<worldbody>"}})},
      {"a hundred kilometres", absl::StrReplaceAll(arm, {{"0 0 -.4", "0 0 -1e5"},
                                                         {"'.05'", "'5e3'"},
                                                         {"damping='0.1'", "damping='1e22'"}})},
      {"balls alone", absl::StrReplaceAll(arm, {{"axis='0 1 0'", "type='ball'"},
                                                {"joint='j'", "joint='j' gear='0 1 0'"}})},
      {"nested frames and copies",
       absl::StrReplaceAll(arm, {{"<body name",
                                  "<frame pos='0 0 1'><frame euler='0 0 30'>"
                                  "<replicate count='3' offset='1 0 0'><body name"},
                                 {"</body>", "</body></replicate></frame></frame>"},
                                 {"joint='j'", "joint='j0'"}})},
      {"user data of its own",
       absl::StrReplaceAll(arm, {{"<option", "<size nuserdata='7'/><option"}})},
      {"a delay", absl::StrReplaceAll(arm, {{"<motor", "<motor delay='0.02' nsample='20'"}})},
      {"bodies without names", absl::StrReplaceAll(arm, {{" name=\"body\"", ""}})},
      {"bodies that sleep",
       absl::StrReplaceAll(arm, {{"<option />", "<option><flag sleep='enable'/></option>"}})},
      {"a keyframe that diverges",
       absl::StrReplaceAll(arm, {{"</mujoco>",
                                  "<keyframe><key name='k' qpos='1e30'/></keyframe>"
                                  "</mujoco>"}})},
  };
  for (const auto& [what, model] : models) {
    const auto made = MakeFrom(model);
    EXPECT_TRUE(made.ok()) << what << ": " << made.status();
    fs::remove_all(root_ + "/t");
  }
}

TEST_F(Scaffold, SaysThatTheRobotSinksIntoItsFloor) {
  const std::string robot = absl::StrReplaceAll(
      Arm("", "<motor joint='j'/>"),
      {{"<worldbody>", "<worldbody><geom type='plane' size='1 1 1' contype='2' conaffinity='2'/>"},
       {"<body name=\"body\">",
        "<body name=\"base\"><freejoint/><geom size='.1'/><body name=\"body\">"},
       {"</body>", "</body></body>"}});
  const auto made = MakeFrom(robot);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_THAT(made->remarks, Contains(HasSubstr("nothing of the robot touches the floor")));
  fs::remove_all(root_ + "/t");
  const auto foot =
      MakeFrom(absl::StrReplaceAll(robot, {{"type='capsule'", "type='capsule' contype='3'"}}));
  ASSERT_TRUE(foot.ok()) << foot.status();
  EXPECT_THAT(foot->remarks, Contains(HasSubstr("trunk does not touch the floor")));
}

TEST_F(Scaffold, RefusesAModelThatFillsItsMemoryWithWhatToChange) {
  std::string boxes = absl::StrReplaceAll(
      Arm("", "<motor joint='j'/>"),
      {{"<worldbody>", "<size memory='60K'/><worldbody><geom type='plane' size='5 5 1'/>"}});
  std::string pile;
  for (int i = 0; i < 50; ++i) {
    absl::StrAppend(&pile, "<body pos='2 0 ", 0.1 + i * 0.01,
                    "'><freejoint/><geom type='box' size='.1 .1 .1'/></body>");
  }
  const auto made = MakeFrom(absl::StrReplaceAll(boxes, {{"</worldbody>", pile + "</worldbody>"}}));
  EXPECT_THAT(std::string(made.status().message()),
              AllOf(HasSubstr("made.xml: MuJoCo: "), HasSubstr("<size memory="),
                    HasSubstr("of random actions")));
  EXPECT_FALSE(HasDraft());
}

TEST_F(Scaffold, ObservesActivations) {
  const auto made = Make(BACKFLIP_MODELS "/muscles.xml", root_ + "/t");
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_TRUE(made->task->task().observation().has_act());
  EXPECT_EQ(made->task->observation_size(), 1 + 1 + 2 + 3);
  EXPECT_THAT(made->remarks, Contains(HasSubstr("2 activations")));
}

TEST_F(Scaffold, TakesUrdfWithMeshesOfItsPackage) {
  const auto made = Make(BACKFLIP_MODELS "/arm.urdf", root_ + "/t");
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->task->task().model(), "arm.xml");
  EXPECT_EQ(made->task->action_size(), 2);
  EXPECT_TRUE(fs::exists(root_ + "/t/meshes/base.obj"));
  EXPECT_THAT(made->remarks, Contains(HasSubstr("fixed to the world")));
  EXPECT_THAT(made->remarks, Contains(AllOf(HasSubstr("effort"), HasSubstr("wrist"))));
}

TEST_F(Scaffold, UrdfWithLegsStandsFreelyOnTheFloor) {
  const std::string leg =
      "<link name='legN'><inertial><mass value='1'/><inertia ixx='.1' ixy='0' ixz='0' iyy='.1' "
      "iyz='0' izz='.1'/></inertial><collision><origin xyz='0 0 -.2'/><geometry><cylinder "
      "radius='.05' length='.4'/></geometry></collision></link><joint name='hipN' "
      "type='revolute'><parent link='base'/><child link='legN'/><axis xyz='0 1 0'/><limit "
      "lower='-1' upper='1' effort='9' velocity='1'/></joint>";
  const auto made = MakeFrom(absl::StrCat(
      "<robot name='two'><link name='base'><inertial><mass value='1'/><inertia ixx='.1' ixy='0' "
      "ixz='0' iyy='.1' iyz='0' izz='.1'/></inertial></link>",
      absl::StrReplaceAll(leg, {{"N", "1"}}), absl::StrReplaceAll(leg, {{"N", "2"}}), "</robot>"));
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_THAT(made->remarks, Contains(HasSubstr("free to move")));
  EXPECT_TRUE(made->task->task().observation().body_axes());
  // time, then where the base is
  EXPECT_NEAR(made->states[3], 0.4, 0.01);
}

TEST_F(Scaffold, TakesUrdfWithAnyCommentsAndSaysThatXacroIsNone) {
  std::ifstream in(BACKFLIP_MODELS "/arm.urdf");
  std::string arm{std::istreambuf_iterator<char>(in), {}};
  arm = absl::StrReplaceAll(arm, {{"package://arm/meshes/base.obj", "assets/box.obj"}});
  const std::string comment =
      absl::StrCat("<!-- ", std::string(1 << 20, '-'), " <mesh --></robot>");
  const auto made = MakeFrom(absl::StrReplaceAll(arm, {{"</robot>", comment}}));
  EXPECT_TRUE(made.ok()) << made.status();
  fs::remove_all(root_ + "/t");
  const auto xacro = MakeFrom(absl::StrReplaceAll(arm, {{"</robot>", "<xacro:hand/></robot>"}}));
  EXPECT_THAT(std::string(xacro.status().message()), HasSubstr("expand it first"));
}

TEST_F(Scaffold, TakesFilesFromBesideTheModelsFolder) {
  fs::create_directories(root_ + "/parts/entry");
  std::ofstream(root_ + "/parts/shared.xml")
      << "<mujoco><worldbody><geom size='1'/></worldbody></mujoco>";
  std::ofstream(root_ + "/parts/entry/robot.xml")
      << absl::StrReplaceAll(Arm("", "<motor joint='j'/>"),
                             {{"<worldbody>", "<include file='../shared.xml'/><worldbody>"}});
  const auto made = Make(root_ + "/parts/entry/robot.xml", root_ + "/t");
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->task->task().model(), "entry/robot.xml");
  EXPECT_TRUE(fs::exists(root_ + "/t/shared.xml"));
}

TEST_F(Scaffold, TakesNamesWithQuotesAndNamesThatAreNoUtf8) {
  for (const std::string name : {"torso \"main\"", "Fu\xdf", "back\\slash", "Füße"}) {
    const auto made = MakeFrom(absl::StrReplaceAll(
        Arm("", "<motor joint='j'/>"), {{"name=\"body\"", absl::StrCat("name='", name, "'")}}));
    ASSERT_TRUE(made.ok()) << name << made.status();
    EXPECT_EQ(made->task->task().camera().track(), name == "Fu\xdf" ? "" : name);
    fs::remove_all(root_ + "/t");
  }
}

TEST_F(Scaffold, WritesATaskForARobotThatDiverges) {
  const auto made =
      MakeFrom(Arm("timestep='0.05'", "<position joint='j' kp='1e7' ctrlrange='-3 3' kv='0'/>"));
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_THAT(made->remarks,
              Contains(AllOf(HasSubstr("diverged at step "), HasSubstr("timestep"))));
  EXPECT_FALSE(made->states.empty());
}

TEST_F(Scaffold, ClipsAreShownForOneAndAHalfSecondsWhateverTheTimestep) {
  for (const std::string timestep : {"1e-6", "1e-5", "0.002", "0.03", "1"}) {
    const auto made = MakeFrom(Arm(absl::StrCat("timestep='", timestep, "'"),
                                   "<motor joint='j' ctrlrange='-1e-3 1e-3'/>"));
    ASSERT_TRUE(made.ok()) << made.status();
    const auto& clip = made->task->task().clip();
    EXPECT_NEAR(clip.steps() / clip.playback_fps(), 1.5, 0.6) << timestep;
    fs::remove_all(root_ + "/t");
  }
}

TEST_F(Scaffold, ReadsNoFilesByAbsolutePathsHoweverTheModelBegins) {
  Write("secret", "<mujoco model='s3cret'><worldbody><nonsense/></worldbody></mujoco>");
  const std::string secret = root_ + "/secret";
  std::string up;
  for (int i = 0; i < 40; ++i) up += "../";
  for (const std::string begin :
       {"", "\f", "\v", " \v\f\r\n\t", "\xef\xbb\xbf\f", "<?xml version='1.0' encoding='UTF-16'?>",
        "\v<!-- x -->", "<!DOCTYPE x [<!ENTITY e 'f'>]>"}) {
    for (const std::string& include : {
             absl::StrCat("<include file='", secret, "'/>"),
             absl::StrCat("<include\nfile\v=\f\"", secret, "\"/>"),
             absl::StrCat("<include file='&#47;", secret.substr(1), "'/>"),
             absl::StrCat("<include file='&#x2F;", secret.substr(1), "'/>"),
             absl::StrCat("<include file='&#4294967343;", secret, "'/>"),
             absl::StrCat("<include file='", up, secret.substr(1), "'/>"),
             absl::StrCat("<include file='x/.&#46;/", up, secret.substr(1), "'/>"),
             absl::StrCat("<compiler meshdir='../../../../../..'/><asset><mesh name='m' "
                          "file='../../../../../../",
                          secret.substr(1), "'/></asset>"),
             absl::StrCat("<!--><!-- --><include file='", secret, "'/><!-- -->"),
             absl::StrCat("<custom><text name='<!--' data='x'/></custom><include file='", secret,
                          "'/><custom><text name='-->' data='x'/></custom>"),
             absl::StrCat("<![CDATA[<!--]]><include file='", secret, "'/><![CDATA[-->]]>"),
             absl::StrCat("<?x <!-- ?><include file='", secret, "'/><?x --> ?>"),
             absl::StrCat("<asset><mesh name='m' file='package://", secret, "'/></asset>"),
             absl::StrCat("<compiler meshdir='", root_, "'/><asset><mesh file='secret'/></asset>"),
         }) {
      const std::string model = absl::StrCat(
          begin, "<mujoco>", include, "<worldbody><body><joint name='j'/><geom size='1'/></body>",
          "</worldbody></mujoco>");
      const FileReader reader = [&](const std::string& path) {
        return path == "model.xml" ? &model : nullptr;
      };
      const absl::Status status = LoadModel("model.xml", reader).status();
      EXPECT_FALSE(status.ok()) << model;
      EXPECT_THAT(std::string(status.message()), testing::Not(HasSubstr("nonsense"))) << model;
    }
  }
}

TEST_F(Scaffold, TakesAbsolutePathsThatStandInComments) {
  const auto made = MakeFrom(absl::StrReplaceAll(
      Arm("", "<motor joint='j'/>"),
      {{"<worldbody>", "<!-- <mesh file=\"/home/me/old.stl\"/> --><!----><worldbody>"}}));
  EXPECT_TRUE(made.ok()) << made.status();
}

TEST_F(Scaffold, SaysWithTheWholePathWhichFileIsMissingOrTooFarAway) {
  const auto model = [](const std::string& mesh) {
    return absl::StrReplaceAll(Arm("", "<motor joint='j'/>"),
                               {{"<worldbody>", absl::StrCat("<asset><mesh name='m' file='", mesh,
                                                             "'/></asset><worldbody>")}});
  };
  const std::string folder = root_ + "/a/b/c/d/e";
  const auto message = [&](const std::string& mesh) {
    Write("a/b/c/d/e/r.xml", model(mesh));
    fs::remove_all(root_ + "/t");
    return std::string(Make(folder + "/r.xml", root_ + "/t").status().message());
  };
  Write("far.obj", kBox);
  Write("a/near.obj", kBox);
  EXPECT_THAT(message("meshes/c.obj"), HasSubstr(folder + "/meshes/c.obj: no such file"));
  EXPECT_THAT(message("../meshes/c.obj"), HasSubstr(root_ + "/a/b/c/d/meshes/c.obj: no such file"));
  EXPECT_THAT(message("../../../../../far.obj"),
              AllOf(HasSubstr(root_ + "/far.obj, more than 4 folders above"), HasSubstr("copy")));
  EXPECT_EQ(message("../../../../near.obj"), "");
}

TEST_F(Scaffold, SaysWhatToDoAboutMeshesThatMujocoCannotRead) {
  const std::pair<const char*, const char*> meshes[] = {{"c.dae", "convert c.dae"},
                                                        {"c.glb", "convert c.glb"},
                                                        {"lfs.stl", "git lfs pull"},
                                                        {"ascii.stl", "save the mesh as that"},
                                                        {"empty.stl", "empty"}};
  Write("robot/c.dae", "<COLLADA/>");
  Write("robot/c.glb", "glTF");
  Write("robot/lfs.stl", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n");
  Write("robot/ascii.stl", absl::StrCat("solid x\n", std::string(300, ' '), "\nendsolid x\n"));
  Write("robot/empty.stl", "");
  for (const auto& [mesh, sentence] : meshes) {
    const absl::Status mjcf =
        MakeFrom(
            absl::StrReplaceAll(Arm("", "<motor joint='j'/>"),
                                {{"<worldbody>", absl::StrCat("<asset><mesh name='m' file='", mesh,
                                                              "'/></asset><worldbody>")}}))
            .status();
    const absl::Status urdf = MakeFrom(Urdf("", Shape("collision", mesh))).status();
    for (const absl::Status& status : {mjcf, urdf}) {
      EXPECT_THAT(std::string(status.message()),
                  AllOf(HasSubstr(sentence), testing::Not(HasSubstr("backflip/0")),
                        testing::Not(HasSubstr("\n"))));
    }
  }
}

TEST_F(Scaffold, UrdfIsShownByItsCollisionShapesWhereItsMeshesCannotBeRead) {
  Write("robot/c.dae", "<COLLADA/>");
  const auto made = MakeFrom(Urdf("", Shape("visual", "c.dae") + Shape("visual", "missing.glb") +
                                          Shape("collision", "assets/box.obj")));
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_THAT(made->remarks, Contains(AllOf(HasSubstr("c.dae"), HasSubstr("missing.glb"))));
}

TEST_F(Scaffold, UrdfNamesMeshesInAnyOfTheWaysThatAreUsed) {
  const std::string extension =
      "<mujoco><compiler meshdir=\"DIR\" discardvisual=\"false\"/></mujoco>";
  for (const std::string mujoco :
       {"", "<mujoco/>", "<mujoco><option/></mujoco>", "assets", "./assets/", "../robot/assets"}) {
    for (const std::string mesh :
         {"assets/box.obj", "./assets/box.obj", "package://robot/assets/box.obj",
          "package://other/assets/box.obj", "file://HERE/robot/assets/box.obj",
          "HERE/robot/assets/box.obj", "box.obj"}) {
      const bool has_folder = mujoco.find("assets") != mujoco.npos;
      if (mesh == "box.obj" && !has_folder) continue;
      const auto made =
          MakeFrom(Urdf(has_folder ? absl::StrReplaceAll(extension, {{"DIR", mujoco}}) : mujoco,
                        Shape("visual", absl::StrReplaceAll(mesh, {{"HERE", root_}}))));
      EXPECT_TRUE(made.ok()) << mujoco << " " << mesh << made.status();
      EXPECT_TRUE(fs::exists(root_ + "/t/assets/box.obj")) << mujoco << " " << mesh;
      fs::remove_all(root_ + "/t");
    }
  }
}

TEST_F(Scaffold, SaysWhatIsWrongInUrdf) {
  EXPECT_THAT(std::string(MakeFrom(Urdf("", Shape("visual", "no/c.stl"))).status().message()),
              AllOf(HasSubstr("no mesh no/c.stl"), HasSubstr(root_)));
  const std::string twice = absl::StrReplaceAll(
      Urdf("", ""), {{"</robot>",
                      "<link name='base2'/><joint name='j' type='fixed'><parent link='base'/>"
                      "<child link='base2'/></joint></robot>"}});
  EXPECT_THAT(std::string(MakeFrom(twice).status().message()),
              HasSubstr("two of <joint name=\"j\">"));
  // no stack is deep enough for a regular expression over this
  const std::string lengthy(1 << 20, 'x');
  EXPECT_FALSE(MakeFrom(Urdf("", Shape("visual", lengthy))).ok());
  EXPECT_TRUE(MakeFrom(Urdf(absl::StrCat("<material name='", lengthy, "'/>"), "")).ok());
}

TEST_F(Scaffold, SaysOfNoUrdfThatItIsFixedWhereItFloats) {
  for (const std::string type : {"floating", "planar"}) {
    const auto made = MakeFrom(absl::StrReplaceAll(
        Urdf("<link name='world'/><joint name='w' type='TYPE'><parent link='world'/><child "
             "link='base'/><axis xyz='0 0 1'/></joint>",
             ""),
        {{"TYPE", type}}));
    ASSERT_TRUE(made.ok()) << made.status();
    EXPECT_THAT(made->remarks, testing::Not(Contains(HasSubstr("fixed to the world")))) << type;
    fs::remove_all(root_ + "/t");
  }
}

TEST_F(Scaffold, SaysThatThereIsNoFloorUnderAFreeRobot) {
  const auto made = MakeFrom(absl::StrReplaceAll(
      Arm("", "<motor joint='j'/>"),
      {{"<body name=\"body\">",
        "<body name=\"base\"><freejoint/><geom size='.1'/><body name=\"body\">"},
       {"</body>", "</body></body>"}}));
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_THAT(made->remarks, Contains(HasSubstr("no floor")));
}

// A free robot with an arm whose shapes are `shapes`, over `world`.
std::string FreeArm(const std::string& world, const std::string& shapes) {
  return absl::StrCat("<mujoco><worldbody>", world,
                      "<body name='trunk' pos='0 0 1'><freejoint/><inertial mass='1' ",
                      "pos='0 0 0' diaginertia='.1 .1 .1'/><body name='arm' pos='.3 0 0'><joint "
                      "name='j'/><inertial ",
                      "mass='1' pos='0 0 0' diaginertia='.1 .1 .1'/>", shapes,
                      "</body></body></worldbody>",
                      "<actuator><motor joint='j' ctrlrange='-1 1'/></actuator></mujoco>");
}

TEST_F(Scaffold, ShowsRobotsOfSitesTendonsOrHeightFieldsAndSaysWhereThereIsNothing) {
  const std::string nothing = "nothing of the robot can be seen";
  const std::string tendon =
      "<tendon><spatial><site site='a'/><site site='b'/></spatial></tendon></mujoco>";
  const std::pair<std::string, bool> models[] = {
      {FreeArm("", ""), false},
      {FreeArm("", "<geom size='.1' rgba='0 0 0 0'/>"), false},
      {FreeArm("", "<geom size='.1' group='4'/>"), true},
      {FreeArm("", "<site type='box' size='.1 .2 .3'/>"), true},
      {absl::StrReplaceAll(
           FreeArm("<site name='a' pos='0 0 2'/>", "<site name='b' rgba='0 0 0 0'/>"),
           {{"</mujoco>", tendon}}),
       true},
      {absl::StrReplaceAll(
           FreeArm("", "<geom type='hfield' hfield='h' contype='0' conaffinity='0'/>"),
           {{"<worldbody>",
             "<asset><hfield name='h' nrow='2' ncol='2' size='.2 .2 .1 .1'/></asset><worldbody>"}}),
       true},
  };
  for (const auto& [model, visible] : models) {
    const auto made = MakeFrom(model);
    ASSERT_TRUE(made.ok()) << model << made.status();
    EXPECT_GT(made->task->task().camera().distance(), 0.02) << model;
    EXPECT_EQ(testing::Value(made->remarks, Contains(HasSubstr(nothing))), !visible) << model;
    const bool grouped = model.find("group=") != model.npos;
    EXPECT_EQ(testing::Value(made->remarks, Contains(HasSubstr("groups 0 to 2"))), grouped)
        << model;
    fs::remove_all(root_ + "/t");
  }
}

TEST_F(Scaffold, TakesWhateverTheRobotCanStandOnForAFloor) {
  const std::string box = "<geom type='box' size='5 5 .1'/>";
  for (const std::string& world : {box, absl::StrCat("<body>", box, "</body>"),
                                   absl::StrReplaceAll(box, {{"box", "ellipsoid"}})}) {
    const auto made = MakeFrom(FreeArm(world, "<geom size='.1'/>"));
    ASSERT_TRUE(made.ok()) << made.status();
    EXPECT_THAT(made->remarks, testing::Not(Contains(HasSubstr("no floor")))) << world;
    fs::remove_all(root_ + "/t");
  }
  const auto made = MakeFrom(FreeArm("", "<geom size='.1'/>"));
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_THAT(made->remarks, Contains(HasSubstr("no floor")));
}

TEST_F(Scaffold, LeavesOutOnlyTheRobotsOwnPlaceAndThatWhereItIsAlone) {
  const std::string cube = "<body name='cube' pos='2 0 1'><freejoint/><geom size='.1'/></body>";
  const std::string arm = Arm("", "<motor joint='j'/>");
  const std::string free = FreeArm("", "<geom size='.1'/>");
  const std::pair<std::string, std::pair<int, bool>> models[] = {
      {absl::StrReplaceAll(arm, {{"<worldbody>", "<worldbody>" + cube}}), {0, false}},
      {absl::StrReplaceAll(free, {{"<worldbody>", "<worldbody>" + cube}}), {0, false}},
      {absl::StrReplaceAll(free, {{"</worldbody>", cube + "</worldbody>"}}), {0, false}},
      {free, {2, true}},
  };
  for (const auto& [model, expected] : models) {
    const auto made = MakeFrom(model);
    ASSERT_TRUE(made.ok()) << made.status();
    EXPECT_EQ(made->task->task().observation().qpos().from(), expected.first) << model;
    EXPECT_EQ(made->task->task().observation().body_axes(), expected.second) << model;
    fs::remove_all(root_ + "/t");
  }
}

TEST_F(Scaffold, WritesNumbersThatCanBeSentHoweverLargeTheModel) {
  std::string chain = "<mujoco><worldbody>", actuators;
  constexpr int kBodies = 400;
  for (int i = 0; i < kBodies; ++i) {
    absl::StrAppend(&chain, "<body pos='", i, " 0 0'><joint name='j", i,
                    "' damping='1'/><geom size='.05'/></body>");
    absl::StrAppend(&actuators, "<motor joint='j", i, "' ctrlrange='-1 1'/>");
  }
  const auto made =
      MakeFrom(absl::StrCat(chain, "</worldbody><actuator>", actuators, "</actuator></mujoco>"));
  ASSERT_TRUE(made.ok()) << made.status();
  const Task& task = *made->task;
  const ClipBytes bytes = BytesOfClips(task);
  EXPECT_LE(std::max(bytes.whole, 2 * bytes.picture), experience::kMaxPayloadBytes);
  EXPECT_LE(
      4LL * (task.observation_size() + task.action_size() + 2) * task.task().evaluation_steps(),
      experience::kMaxPayloadBytes);
  EXPECT_GT(task.task().clip().steps(), 20);
  // the default batch
  EXPECT_LE(4LL * (task.observation_size() + task.action_size() + 2) * 8192 /
                task.task().defaults().collection().environments(),
            experience::kMaxPayloadBytes);
}

TEST_F(Scaffold, SaysWhichActuatorsDoNothing) {
  const std::pair<std::string, std::string> models[] = {
      {Arm("", "<general name='m' joint='j' dyntype='user' actdim='1'/>"), "m (dyntype="},
      {Arm("actuatorgroupdisable='2'", "<motor name='m' joint='j' group='2'/>"),
       "m (actuatorgroupdisable)"},
      {absl::StrReplaceAll(Arm("", "<motor name='m' joint='j'/>"),
                           {{"<option />", "<option><flag actuation='disable'/></option>"}}),
       "m (<flag actuation="},
  };
  for (const auto& [model, sentence] : models) {
    const auto made = MakeFrom(model);
    ASSERT_TRUE(made.ok()) << made.status();
    EXPECT_THAT(made->remarks,
                Contains(AllOf(HasSubstr("1 of 1 actuators do nothing"), HasSubstr(sentence))));
    fs::remove_all(root_ + "/t");
  }
}

TEST_F(Scaffold, RefusesAKeyframeThatIsNoNumber) {
  const auto made = MakeFrom(absl::StrReplaceAll(
      Arm("", "<motor joint='j' ctrlrange='-1 1'/>"),
      {{"</mujoco>", "<keyframe><key name='k' qpos='nan'/></keyframe></mujoco>"}}));
  EXPECT_THAT(std::string(made.status().message()), AllOf(HasSubstr("made.xml"), HasSubstr("nan")));
}

}  // namespace
}  // namespace backflip::sim
