"""A CPU that runs PTX: parser, instruction table, a readable executor and a fast virtual machine."""
