import "./label.css";
